//! Traces that go on, begin and end.

use std::sync::Arc;

use micro_core::ServiceBuilder;
use micro_core::broker::MemoryBroker;
use micro_core::client::CallOptions;
use micro_core::debug::{Diagnostics, DiagnosticsOptions, Span, SpanType, TraceRequest, TraceResponse};
use micro_core::handler::{Context, endpoint_fn};
use micro_core::registry::MemoryRegistry;
use micro_core::server::subscriber_plain;
use micro_core::service::RunningService;
use micro_core::transport::MemoryTransport;

use crate::service::{ask, builder, greet, hello, in_memory, start, within};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A service that calls another within its own context.
async fn chain() -> (RunningService, RunningService) {
    let registry = Arc::new(MemoryRegistry::new());
    let transport = Arc::new(MemoryTransport::new());
    let quiet = || {
        Diagnostics::new(DiagnosticsOptions {
            traces_per_second: 0,
            ..DiagnosticsOptions::default()
        })
    };
    let there = |builder: ServiceBuilder| builder.registry(registry.clone()).transport(transport.clone());
    let last = endpoint_fn("Last.Call", |context: Context, (): ()| async move {
        let metadata = context.metadata();
        let value = |name: &str| metadata.get(name).unwrap_or_default().to_owned();
        Ok((value("traceparent"), value("tracestate"), value("tenant")))
    });
    let last = start(there(builder("last")).diagnostics(quiet()).handler(last)).await;
    let client = last.client().clone();
    let first = endpoint_fn("First.Call", move |context: Context, (): ()| {
        let client = client.within(&context);
        async move {
            client
                .call_plain::<(), (String, String, String)>("last", "Last.Call", ())
                .await
        }
    });
    let first = start(there(builder("first")).diagnostics(quiet()).handler(first)).await;
    (first, last)
}

async fn call_first(first: &RunningService, traceparent: &'static str) -> (String, String, String) {
    let client = first.client().with_options(CallOptions {
        metadata: [
            ("Traceparent", traceparent),
            ("Tracestate", "vendor=1"),
            ("Tenant", "acme"),
        ]
        .into(),
        ..CallOptions::default()
    });
    within(client.call_plain("first", "First.Call", ()))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_trace_goes_on_through_a_service_and_is_recorded_at_each() {
    let (first, last) = chain().await;
    let (traceparent, tracestate, tenant) = call_first(&first, TRACEPARENT).await;
    assert!(
        traceparent.starts_with(&format!("00-{TRACE}-")) && traceparent.ends_with("-01"),
        "{traceparent}"
    );
    assert_eq!((&*tracestate, &*tenant), ("vendor=1", "acme"));
    let trace = TraceRequest { id: TRACE.into() };
    let TraceResponse { spans } = ask(&first, "Debug.Trace", trace.clone()).await;
    let [outbound, inbound]: &[Span; 2] = spans.as_slice().try_into().unwrap();
    assert_eq!(
        (&*inbound.parent, &*inbound.name),
        ("b7ad6b7169203331", "First.Call")
    );
    assert_eq!((&outbound.parent, &*outbound.name), (&inbound.id, "Last.Call"));
    assert_eq!(outbound.span_type, i32::from(SpanType::Outbound));
    assert_eq!(outbound.metadata["service"], "last");
    assert!(inbound.duration >= outbound.duration && outbound.duration > 0);
    assert!(
        traceparent.contains(&outbound.id),
        "the next one's parent is the outgoing span"
    );
    let name = last.record().name.clone();
    let spans: TraceResponse = last.client().call(name, "Debug.Trace", &trace).await.unwrap();
    assert_eq!(spans.spans.len(), 1);
    assert_eq!(spans.spans[0].parent, outbound.id);
    let other = TraceRequest { id: "0".repeat(32) };
    let none: TraceResponse = ask(&first, "Debug.Trace", other).await;
    assert!(none.spans.is_empty());
    first.stop().await.unwrap();
    last.stop().await.unwrap();
}

#[tokio::test]
async fn a_trace_that_is_not_recorded_goes_on_all_the_same_and_a_malformed_one_ends() {
    let (first, last) = chain().await;
    let unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let (traceparent, tracestate, _) = call_first(&first, unsampled).await;
    assert!(traceparent.starts_with(&format!("00-{TRACE}-")) && traceparent.ends_with("-00"));
    assert!(!traceparent.contains("b7ad6b7169203331"), "from a new span on");
    assert_eq!(tracestate, "vendor=1");
    let (traceparent, tracestate, tenant) = call_first(&first, "00-0AF7-01").await;
    assert_eq!((&*traceparent, &*tracestate, &*tenant), ("", "", "acme"));
    let all: TraceResponse = ask(&first, "Debug.Trace", TraceRequest::default()).await;
    assert!(all.spans.is_empty(), "{all:?}");
    first.stop().await.unwrap();
    last.stop().await.unwrap();
}

#[tokio::test]
async fn an_event_carries_the_trace_on_to_who_handles_it() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let handle = subscriber_plain("orders.placed", move |context: Context, (): ()| {
        let tell = tell.clone();
        async move {
            let trace = context.trace().map(|trace| trace.trace_id());
            tell.send(trace).await.unwrap();
            Ok(())
        }
    });
    let greeter = in_memory("greeter")
        .broker(Arc::new(MemoryBroker::new()))
        .subscriber(handle)
        .handler(hello());
    let service = start(greeter).await;
    let sent = service.client().with_options(CallOptions {
        metadata: [("traceparent", TRACEPARENT)].into(),
        ..CallOptions::default()
    });
    sent.publish_plain("orders.placed", ()).await.unwrap();
    assert_eq!(within(told.recv()).await.unwrap().as_deref(), Some(TRACE));
    // Handling ends after it has told.
    let spans = within(async {
        loop {
            let spans = service.diagnostics().spans(TRACE);
            if !spans.is_empty() {
                return spans;
            }
            tokio::task::yield_now().await;
        }
    });
    let spans = spans.await;
    assert_eq!(
        (&*spans[0].name, &*spans[0].parent),
        ("orders.placed", "b7ad6b7169203331")
    );
    assert_eq!(
        service.diagnostics().stats().requests,
        0,
        "an event is no request"
    );
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_few_calls_begin_a_trace_and_failures_are_noted() {
    let service = start(in_memory("greeter").handler(hello())).await;
    for _ in 0..500 {
        greet(service.client(), "World").await.unwrap();
    }
    greet(service.client(), "").await.unwrap_err();
    let TraceResponse { spans } = ask(&service, "Debug.Trace", TraceRequest::default()).await;
    let failed: Vec<_> = spans
        .iter()
        .filter(|span| span.metadata.contains_key("error"))
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (&*failed[0].metadata["code"], &*failed[0].metadata["error"]),
        ("409", "nobody to greet")
    );
    assert!((10..500).contains(&spans.len()), "{}", spans.len());
    assert!(spans[0].parent.is_empty() && spans[0].trace.len() == 32 && spans[0].duration > 0);
    service.stop().await.unwrap();
}
