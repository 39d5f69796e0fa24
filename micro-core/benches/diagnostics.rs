//! What a call costs a server that counts and records, beside one that only survives panics.
//!
//! `cargo bench -p micro-core --bench diagnostics`; prints nanoseconds a call, of a handler that answers at once.

#![allow(clippy::unwrap_used, reason = "a benchmark stops where it fails")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use micro_core::debug::Diagnostics;
use micro_core::handler::{Endpoint, handler_fn};
use micro_core::server::ServerBuilder;
use micro_core::{Error, Handler, Metadata, Request, Response};

const CALLS: u32 = 20_000;
/// The quickest counts: whatever else the machine does only adds.
const ROUNDS: usize = 200;
const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn server(diagnostics: Option<Diagnostics>) -> Arc<dyn Handler> {
    let answers = handler_fn(|_| async { Ok(Response::new("x")) });
    let fails = handler_fn(|_| async { Err(Error::conflict("a", "as asked")) });
    let mut server = ServerBuilder::new()
        .handler(Endpoint::new("Echo.Call", answers))
        .handler(Endpoint::new("Echo.Fail", fails));
    if let Some(diagnostics) = diagnostics {
        server = server.diagnostics(diagnostics);
    }
    server.build().unwrap().handler().clone()
}

async fn measure(handler: &Arc<dyn Handler>, endpoint: &'static str, metadata: &Metadata) -> Duration {
    let template = {
        let mut request = Request::new("echo", endpoint, "x");
        request.metadata = metadata.clone();
        request
    };
    let since = Instant::now();
    for _ in 0..CALLS {
        let _ = handler.handle(template.try_clone().unwrap()).await;
    }
    since.elapsed() / CALLS
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let bare = server(None);
    let observed = server(Some(Diagnostics::default()));
    let user_agent = ("User-Agent", "Go-http-client/1.1");
    for (what, endpoint, metadata) in [
        ("answered", "Echo.Call", Metadata::new()),
        ("answered, with metadata", "Echo.Call", [user_agent].into()),
        (
            "answered, with a trace",
            "Echo.Call",
            [user_agent, ("traceparent", SAMPLED)].into(),
        ),
        ("failed", "Echo.Fail", Metadata::new()),
    ] {
        let (mut without, mut with) = (Duration::MAX, Duration::MAX);
        for _ in 0..ROUNDS {
            without = without.min(measure(&bare, endpoint, &metadata).await);
            with = with.min(measure(&observed, endpoint, &metadata).await);
        }
        println!(
            "{what:24} {:>4} ns without, {:>4} ns with",
            without.as_nanos(),
            with.as_nanos()
        );
    }
}
