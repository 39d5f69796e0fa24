//! What stands around every service's handlers: counts calls, records some of them and of events, survives panics, and
//! stops what nobody waits for any more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use async_trait::async_trait;
use futures_util::FutureExt;

use super::{Diagnostics, Recording};
use crate::handler::{Deadline, Lot, Lots, Trace, TraceContext, outlived, panicked};
use crate::wire::TOPIC;
use crate::{Body, Error, Handler, Request, Response, Result, Text};

/// Stands where [`Recover`](crate::handler::Recover) does without it, and does its work, too: layers that are always there
/// are cheaper as one.
pub(crate) enum Observe<'a> {
    /// Around what answers calls.
    Calls(&'a Diagnostics),
    /// Around what handles events, which are not counted as requests.
    Events(&'a Diagnostics),
}

impl Observe<'_> {
    pub(crate) fn wrap(self, inner: Arc<dyn Handler>) -> Arc<dyn Handler> {
        let (diagnostics, is_counted) = match self {
            Self::Calls(diagnostics) => (diagnostics.clone(), true),
            Self::Events(diagnostics) => (diagnostics.clone(), false),
        };
        Arc::new(Observed {
            inner,
            diagnostics,
            is_counted,
        })
    }
}

struct Observed {
    inner: Arc<dyn Handler>,
    diagnostics: Diagnostics,
    is_counted: bool,
}

/// What is known of a call while it runs.
struct Call {
    endpoint: Text,
    is_counted: bool,
    /// Whether it may have a span.
    is_seen: bool,
    caller: Option<TraceContext>,
    recording: Option<Box<Recording>>,
}

#[async_trait]
impl Handler for Observed {
    async fn handle(&self, mut request: Request) -> Result<Response> {
        let call = self.diagnostics.begin(&mut request, self.is_counted);
        let deadline = request.deadline;
        let handling = AssertUnwindSafe(self.inner.handle(request)).catch_unwind();
        let result = match Deadline::new(deadline).bound(handling).await {
            Some(Ok(result)) => result,
            Some(Err(panic)) => Err(panicked(&call.endpoint, panic.as_ref())),
            None => Err(outlived(&call.endpoint)),
        };
        match result {
            Ok(mut response) if response.body.is_stream() => {
                let endpoint = call.endpoint.clone();
                let late = move || outlived(&endpoint);
                response.body = Body::lots(ObservedBody {
                    body: Deadline::new(deadline).bound_body(response.body, late),
                    diagnostics: self.diagnostics.clone(),
                    call: Some(call),
                });
                Ok(response)
            }
            Ok(response) => {
                if let Some(mut recording) = call.recording {
                    recording.end(Ok(()));
                }
                Ok(response)
            }
            Err(error) => {
                self.diagnostics.fail(call, &error);
                Err(error)
            }
        }
    }
}

impl Diagnostics {
    #[inline]
    fn begin(&self, request: &mut Request, is_counted: bool) -> Call {
        // Events that come as requests are seen when they come to their subscribers.
        let is_event = is_counted && request.endpoint.is_empty() && request.metadata.contains(TOPIC);
        let is_seen = !is_event && !request.endpoint.starts_with("Debug.");
        let mut call = Call {
            endpoint: request.endpoint.clone(),
            is_counted: is_counted && is_seen,
            is_seen,
            caller: None,
            recording: None,
        };
        let count = match (is_seen, is_counted) {
            (false, _) => return call,
            (true, true) => &self.0.requests,
            (true, false) => &self.0.events,
        };
        let number = count.fetch_add(1, Relaxed);
        call.caller = TraceContext::of(&request.metadata);
        call.recording = self.0.spans.receive(number, call.caller, request);
        if let (Some(recording), None) = (&call.recording, call.caller)
            && Trace::is_enabled()
        {
            Trace::note_begun(recording.context());
        }
        call
    }

    fn fail(&self, call: Call, error: &Error) {
        if call.is_counted {
            self.0.errors.fetch_add(1, Relaxed);
        }
        match call.recording {
            Some(mut recording) => recording.end(Err(error)),
            None if call.is_seen => self.0.spans.fail(&call.endpoint, call.caller, error),
            None => {}
        }
    }
}

/// A streamed answer, which is a part of its call.
struct ObservedBody {
    body: Body,
    diagnostics: Diagnostics,
    /// Until it is over.
    call: Option<Call>,
}

impl Lots for ObservedBody {
    fn poll_lot(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Lot>>> {
        let Some(call) = &self.call else {
            return Poll::Ready(None);
        };
        let endpoint = call.endpoint.clone();
        let body = &mut self.body;
        let polled = catch_unwind(AssertUnwindSafe(|| body.poll_lot(context)));
        let polled =
            polled.unwrap_or_else(|panic| Poll::Ready(Some(Err(panicked(&endpoint, panic.as_ref())))));
        match &polled {
            Poll::Pending | Poll::Ready(Some(Ok(_))) => return polled,
            Poll::Ready(None) => {
                if let Some(mut recording) = self.call.take().and_then(|call| call.recording) {
                    recording.end(Ok(()));
                }
            }
            Poll::Ready(Some(Err(error))) => {
                if let Some(call) = self.call.take() {
                    self.diagnostics.fail(call, error);
                }
            }
        }
        // What the handler held is free from here, and never polled again.
        self.body = Body::empty();
        polled
    }
}
