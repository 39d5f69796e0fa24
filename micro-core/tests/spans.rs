//! What a listener to `tracing` is told of a call. Alone in its process, because the listener is everyone's.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use micro_core::client::CallOptions;
use micro_core::handler::{Context, endpoint_fn};
use micro_core::transport::MemoryTransport;
use micro_core::{Error, Service};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

type Fields = BTreeMap<String, String>;

/// Keeps the fields of all spans.
#[derive(Clone, Default)]
struct Listener {
    next: Arc<AtomicU64>,
    spans: Arc<Mutex<BTreeMap<u64, Fields>>>,
}

struct Into<'a>(&'a mut Fields);

impl Visit for Into<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("micro_core")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::new();
        span.record(&mut Into(&mut fields));
        let id = self.next.fetch_add(1, SeqCst) + 1;
        self.spans.lock().unwrap().insert(id, fields);
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        if let Some(fields) = self.spans.lock().unwrap().get_mut(&span.into_u64()) {
            values.record(&mut Into(fields));
        }
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn both_sides_of_a_call_tell_what_is_called_and_how_it_failed() {
    let listener = Listener::default();
    tracing::subscriber::set_global_default(listener.clone()).unwrap();
    let service = Service::builder("greeter")
        .transport(Arc::new(MemoryTransport::new()))
        .handler(endpoint_fn("Greeter.Hello", |_: Context, (): ()| async {
            Ok(())
        }))
        .handler(endpoint_fn("Greeter.Fail", |_: Context, (): ()| async {
            Err::<(), _>(Error::conflict("greeter", "as asked"))
        }));
    let service = service.build().unwrap().start().await.unwrap();
    let client = service.client().with_options(CallOptions {
        metadata: [("traceparent", TRACEPARENT)].into(),
        ..CallOptions::default()
    });
    for (method, code) in [("Greeter.Hello", None), ("Greeter.Fail", Some("409"))] {
        let call = client.call_plain::<(), ()>("greeter", method, ()).await;
        assert_eq!(call.is_err(), code.is_some());
        for side in ["client", "server"] {
            let spans = listener.spans.lock().unwrap();
            let of_call = |fields: &&Fields| {
                fields.get("otel.kind").is_some_and(|kind| kind == side)
                    && fields.get("rpc.method").is_some_and(|known| known == method)
            };
            let found: Vec<&Fields> = spans.values().filter(of_call).collect();
            assert_eq!(found.len(), 1, "{side} {method}: {spans:?}");
            let field = |name: &str| found[0].get(name).map(String::as_str);
            assert_eq!(field("rpc.system"), Some("micro"));
            assert_eq!(field("rpc.service"), Some("greeter"));
            assert_eq!(field("otel.name"), Some(method));
            assert_eq!(field("rpc.micro.status_code"), code, "{side} {method}");
            assert!(field("trace_id").is_some_and(|trace| TRACEPARENT.contains(trace)));
            let parent = field("parent");
            assert_eq!(parent, (side == "server").then_some("b7ad6b7169203331"));
        }
    }
}
