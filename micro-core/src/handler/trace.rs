//! A span around each call.

use std::sync::Arc;

use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::{BoxFuture, Handler, Request, Response, TraceContext, Wrapper};
use crate::Result;

/// Opens a `tracing` span around each call, with OpenTelemetry's names for remote calls: `rpc.system`,
/// `rpc.service`, `rpc.method`, and after a failure `rpc.micro.status_code`; around events `messaging.system` and
/// `messaging.destination.name`. What belongs to a trace has its `trace_id`, and where it is received the sender's
/// span as `parent`.
///
/// Costs next to nothing while nobody listens to the target `micro_core::handler::trace` at level `debug`.
#[derive(Debug, Clone, Copy)]
pub enum Trace {
    /// Around what a client calls: `otel.kind` is `client`.
    Client,
    /// Around what a server answers: `otel.kind` is `server`.
    Server,
    /// Around what handles an event: `otel.kind` is `consumer`.
    Subscriber,
}

impl Wrapper for Trace {
    fn wrap(&self, inner: Arc<dyn Handler>) -> Arc<dyn Handler> {
        Arc::new(Traced { inner, side: *self })
    }
}

impl Trace {
    pub(crate) fn is_enabled() -> bool {
        tracing::enabled!(tracing::Level::DEBUG)
    }

    /// The span of one call.
    pub(crate) fn span(self, request: &Request) -> Span {
        let method = request.endpoint.as_str();
        let span = match self {
            Self::Client => {
                tracing::debug_span!("call", otel.kind = "client", otel.name = method, rpc.system = "micro",
                rpc.service = %request.service, rpc.method = method, rpc.micro.status_code = Empty,
                trace_id = Empty)
            }
            Self::Server => {
                tracing::debug_span!("serve", otel.kind = "server", otel.name = method, rpc.system = "micro",
                rpc.service = %request.service, rpc.method = method, rpc.micro.status_code = Empty,
                trace_id = Empty, parent = Empty)
            }
            Self::Subscriber => {
                tracing::debug_span!("process", otel.kind = "consumer", otel.name = method,
                messaging.system = "micro", messaging.operation.type = "process",
                messaging.destination.name = method, rpc.micro.status_code = Empty,
                trace_id = Empty, parent = Empty)
            }
        };
        if let Some(context) = TraceContext::of(&request.metadata) {
            span.record("trace_id", context.trace_id());
            span.record("parent", context.span_id());
        }
        span
    }

    /// Notes a trace that began after the span of the call.
    pub(crate) fn note_begun(trace: TraceContext) {
        Span::current().record("trace_id", trace.trace_id());
    }

    /// Notes how the call went, and keeps the span open while a streamed answer runs.
    pub(crate) fn finish(span: &Span, result: Result<Response>) -> Result<Response> {
        match result {
            Ok(mut response) => {
                let kept = span.clone();
                response.body = response.body.on_end(move |end| {
                    if let Some(Err(error)) = end {
                        kept.record("rpc.micro.status_code", error.code());
                    }
                });
                Ok(response)
            }
            Err(error) => {
                span.record("rpc.micro.status_code", error.code());
                Err(error)
            }
        }
    }
}

struct Traced {
    inner: Arc<dyn Handler>,
    side: Trace,
}

impl Handler for Traced {
    // Written out, so that the inner future is returned as it is while nobody listens.
    fn handle<'a, 'b>(&'a self, request: Request) -> BoxFuture<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        if !Trace::is_enabled() {
            return self.inner.handle(request);
        }
        let span = self.side.span(&request);
        Box::pin(async move {
            let result = self.inner.handle(request).instrument(span.clone()).await;
            Trace::finish(&span, result)
        })
    }
}
