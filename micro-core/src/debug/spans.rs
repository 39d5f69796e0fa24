//! The spans of calls that were traced lately.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::log::shorten;
use super::sampler::Sampler;
use super::{Span, SpanType};
use crate::handler::TraceContext;
use crate::{Error, Request, Response, Result, Text};

/// How many spans are kept.
const SPANS: usize = 1024;
/// How many calls of traces that others began are recorded, a second.
const CARRIED: u32 = 100;
/// How many failures are recorded of calls that nobody traced, a second.
const FAILED: u32 = 20;
/// How much of a name or an error's text is kept, in bytes.
const TEXT: usize = 256;

/// The last spans, and which calls have one.
pub(crate) struct Spans {
    kept: Mutex<VecDeque<Span>>,
    since: Instant,
    /// Traces that begin here.
    begun: Sampler,
    /// Calls whose caller records the trace, and calls that recorded ones make.
    carried: Sampler,
    carried_number: AtomicU64,
    failed: Sampler,
    failed_number: AtomicU64,
}

impl Spans {
    /// With so many traces a second that begin here.
    pub(super) fn new(begun: u32) -> Self {
        Self {
            kept: Mutex::default(),
            since: Instant::now(),
            begun: Sampler::new(begun),
            carried: Sampler::new(CARRIED),
            carried_number: AtomicU64::new(0),
            failed: Sampler::new(FAILED),
            failed_number: AtomicU64::new(0),
        }
    }

    /// The spans of a trace, or all where it has no name, in the order in which they ended.
    pub(super) fn of(&self, trace: &str) -> Vec<Span> {
        let kept = self.lock();
        let is_asked_for = |span: &&Span| trace.is_empty() || span.trace.eq_ignore_ascii_case(trace.trim());
        kept.iter().filter(is_asked_for).cloned().collect()
    }

    /// Decides on the call with this number, which came with this context. `None`: it has no span.
    #[inline]
    pub(super) fn receive(
        self: &Arc<Self>,
        number: u64,
        caller: Option<TraceContext>,
        request: &mut Request,
    ) -> Option<Box<Recording>> {
        let context = match caller {
            Some(caller) if caller.is_sampled() && self.carries() => caller.child(),
            None if self.begun.admits(number, || self.second()) => TraceContext::begin(),
            _ => return None,
        };
        request.extensions.insert(Traced {
            context,
            spans: self.clone(),
        });
        let parent = caller.map(|caller| caller.span_id());
        Some(Recording::start(
            self.clone(),
            context,
            parent,
            request,
            SpanType::Inbound,
        ))
    }

    /// Notes a failure that has no span yet: at this moment, of nobody knows what duration.
    pub(super) fn fail(&self, endpoint: &Text, caller: Option<TraceContext>, error: &Error) {
        let number = self.failed_number.fetch_add(1, Relaxed);
        if !self.failed.admits(number, || self.second()) {
            return;
        }
        let context = caller.map_or_else(TraceContext::begin, |caller| caller.child());
        let mut span = span(context, caller.map(|caller| caller.span_id()), endpoint);
        note_failure(&mut span, error);
        self.keep(span);
    }

    fn carries(&self) -> bool {
        let number = self.carried_number.fetch_add(1, Relaxed);
        self.carried.admits(number, || self.second())
    }

    fn second(&self) -> u32 {
        u32::try_from(self.since.elapsed().as_secs()).unwrap_or(u32::MAX)
    }

    fn keep(&self, span: Span) {
        let mut kept = self.lock();
        if kept.len() >= SPANS {
            kept.pop_front();
        }
        kept.push_back(span);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Span>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In the extensions of a request whose call is recorded: its own span, and where the spans go of calls that it
/// makes.
#[derive(Clone)]
pub(crate) struct Traced {
    pub(crate) context: TraceContext,
    spans: Arc<Spans>,
}

impl Traced {
    /// A span for a call that goes out in this context, unless there are too many.
    pub(crate) fn send(&self, context: TraceContext, request: &Request) -> Option<Box<Recording>> {
        self.spans.carries().then(|| {
            let parent = Some(self.context.span_id());
            Recording::start(self.spans.clone(), context, parent, request, SpanType::Outbound)
        })
    }
}

/// The span of a call that runs. Dropping it before its end means that the caller left.
pub(crate) struct Recording {
    spans: Arc<Spans>,
    span: Span,
    context: TraceContext,
    since: Instant,
    is_over: bool,
}

impl Recording {
    pub(crate) fn context(&self) -> TraceContext {
        self.context
    }

    fn start(
        spans: Arc<Spans>,
        context: TraceContext,
        parent: Option<String>,
        request: &Request,
        span_type: SpanType,
    ) -> Box<Self> {
        let mut span = span(context, parent, &request.endpoint);
        span.span_type = span_type.into();
        if !request.service.is_empty() {
            span.metadata.insert("service".into(), short(&request.service));
        }
        Box::new(Self {
            spans,
            span,
            context,
            since: Instant::now(),
            is_over: false,
        })
    }

    pub(crate) fn end(&mut self, result: Result<(), &Error>) {
        if let Err(error) = result {
            note_failure(&mut self.span, error);
        }
        self.keep();
    }

    fn keep(&mut self) {
        self.is_over = true;
        self.span.duration = nanoseconds(self.since.elapsed());
        self.spans.keep(std::mem::take(&mut self.span));
    }

    /// Ends with the answer, or with its stream.
    pub(crate) fn follow(mut self: Box<Self>, result: Result<Response>) -> Result<Response> {
        match result {
            Ok(mut response) => {
                response.body = response.body.on_end(move |end| {
                    if let Some(end) = end {
                        self.end(end);
                    }
                });
                Ok(response)
            }
            Err(error) => {
                self.end(Err(&error));
                Err(error)
            }
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if !self.is_over {
            self.span.metadata.insert("cancelled".into(), "true".into());
            self.keep();
        }
    }
}

fn span(context: TraceContext, parent: Option<String>, endpoint: &Text) -> Span {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Span {
        trace: context.trace_id(),
        id: context.span_id(),
        parent: parent.unwrap_or_default(),
        name: short(endpoint),
        started: nanoseconds(now),
        duration: 0,
        metadata: BTreeMap::new(),
        span_type: SpanType::Inbound.into(),
    }
}

fn note_failure(span: &mut Span, error: &Error) {
    span.metadata.insert("code".into(), error.code().to_string());
    span.metadata.insert("error".into(), short(error.detail()));
}

fn short(text: &str) -> String {
    let mut text = text.to_owned();
    shorten(&mut text, TEXT);
    text
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request::new("greeter", "Greeter.Hello", "")
    }

    fn caller(flags: &str) -> Option<TraceContext> {
        TraceContext::parse(&format!(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"
        ))
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_of_a_recorded_trace_and_what_it_calls_have_spans() {
        let spans = Arc::new(Spans::new(0));
        let mut request = request();
        let mut inbound = spans.receive(0, caller("01"), &mut request).unwrap();
        let traced = request.extensions.get::<Traced>().unwrap().clone();
        let mut outbound = traced.send(traced.context.child(), &request).unwrap();
        tokio::time::advance(Duration::from_millis(2)).await;
        outbound.end(Err(&Error::conflict("other", "as asked")));
        inbound.end(Ok(()));
        let [outbound, inbound] = &spans.of("0AF7651916CD43DD8448EB211C80319C")[..] else {
            panic!("two spans");
        };
        assert_eq!(
            (&*inbound.parent, &*inbound.name),
            ("b7ad6b7169203331", "Greeter.Hello")
        );
        assert_eq!(
            (inbound.span_type, inbound.duration),
            (SpanType::Inbound.into(), 2_000_000)
        );
        assert_eq!(outbound.parent, inbound.id);
        assert_eq!(outbound.span_type, i32::from(SpanType::Outbound));
        assert_eq!(
            (&*outbound.metadata["code"], &*outbound.metadata["error"]),
            ("409", "as asked")
        );
        assert!(spans.of("another").is_empty());
        assert_eq!(spans.of("").len(), 2);
    }

    #[test]
    fn a_trace_that_its_caller_does_not_record_is_not_recorded_nor_another_begun() {
        let spans = Arc::new(Spans::new(10));
        assert!(spans.receive(0, caller("00"), &mut request()).is_none());
        assert!(spans.receive(0, None, &mut request()).is_some());
        assert!(Arc::new(Spans::new(0)).receive(0, None, &mut request()).is_none());
    }

    #[test]
    fn a_call_that_is_dropped_was_cancelled() {
        let spans = Arc::new(Spans::new(10));
        drop(spans.receive(0, None, &mut request()));
        assert_eq!(spans.of("")[0].metadata["cancelled"], "true");
    }

    #[test]
    fn failures_are_noted_up_to_a_bound_and_the_oldest_spans_go() {
        let spans = Spans::new(0);
        let error = Error::internal("a", "x".repeat(10_000));
        for _ in 0..10_000 {
            spans.fail(&Text::from_static("A.B"), caller("00"), &error);
        }
        let noted = spans.of("");
        // A test may be so slow that it takes seconds, each with its share.
        assert!(noted.len() >= FAILED as usize && noted.len() < 5_000);
        assert_eq!(noted[0].parent, "b7ad6b7169203331");
        assert!(noted[0].metadata["error"].len() < TEXT + 4);
        for _ in 0..2 * SPANS {
            spans.keep(Span::default());
        }
        assert_eq!(spans.of("").len(), SPANS);
    }
}
