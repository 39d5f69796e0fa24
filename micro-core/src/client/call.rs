//! A whole call: its deadline, its span, the choice of a node, and another node where one fails.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument;

use super::budget::Budget;
use super::scope::Route;
use super::{LiveOptions, RetryOptions};
use crate::error::CLIENT;
use crate::handler::{BoxFuture, CallKind, Deadline, Lot, Lots, Trace, wrap_all};
use crate::registry::Node;
use crate::selector::{Candidate, Candidates, Criteria, Filter, Filters, InFlight, Outcome, Selector};
use crate::{Body, Error, ErrorKind, Handler, Request, Response, Result, Text, Transport, Wrapper};

/// How much earlier a deadline may be at the far side: some transports send whole milliseconds.
const ROUNDED: Duration = Duration::from_millis(1);
/// How many addresses given by callers are remembered, with their connections.
const FIXED_ADDRESSES: usize = 1024;

/// The inner end of a client's stack: what all calls share.
pub(super) struct Calls {
    /// Tells this client's dialled peers from those of others, where candidates are shared.
    owner: u64,
    selector: Arc<dyn Selector>,
    transport: Arc<dyn Transport>,
    wrappers: Vec<Arc<dyn Wrapper>>,
    options: LiveOptions,
    /// What every node must meet: that this transport reaches it.
    criteria: Criteria,
    budget: Budget,
    fixed: Mutex<HashMap<String, Arc<Candidate>>>,
}

/// What a candidate keeps for a client.
struct Dialled(Arc<dyn Handler>);

impl Calls {
    pub(super) fn new(
        selector: Arc<dyn Selector>,
        transport: Arc<dyn Transport>,
        wrappers: Vec<Arc<dyn Wrapper>>,
        options: LiveOptions,
    ) -> Self {
        static OWNERS: AtomicU64 = AtomicU64::new(0);
        let reachable = Filters::none().and(Filter::transport(transport.protocol(), transport.name()));
        Self {
            owner: OWNERS.fetch_add(1, Ordering::Relaxed),
            selector,
            transport,
            wrappers,
            budget: Budget::new(options.retry().budget),
            options,
            criteria: Criteria {
                filters: reachable,
                key: None,
            },
            fixed: Mutex::default(),
        }
    }

    async fn call(&self, mut request: Request) -> Result<Response> {
        let started = Instant::now();
        let limited = request.deadline.is_some();
        if request.kind == CallKind::Unary && !limited {
            // A time that the clock cannot count is no limit.
            request.deadline = started.checked_add(self.options.request_timeout());
        }
        self.budget.earn();
        let deadline = request.deadline;
        let response = self.attempts(request, started).await;
        response.map(|mut response| {
            response.body = Deadline::new(deadline).bound_body(response.body, || {
                Error::timeout(CLIENT, "call timeout: the stream outlived its deadline")
            });
            response
        })
    }

    /// Tries nodes until one answers, or no further try is allowed.
    async fn attempts(&self, request: Request, started: Instant) -> Result<Response> {
        let deadline = request.deadline;
        let idempotent = request.idempotent;
        let route = request.extensions.get::<Route>().cloned();
        let retries = route
            .as_ref()
            .and_then(|route| route.retries)
            .unwrap_or_else(|| self.options.retries());
        if is_past(deadline, started) {
            return Err(past(&request.service, &request.endpoint));
        }
        let mut candidates = self
            .candidates(&request.service, route.as_ref(), deadline)
            .await?;
        let mut attempt = 0;
        let mut request = Outgoing::new(request);
        let mut since = started;
        loop {
            let Some(candidate) = candidates.next() else {
                let detail = format!("service {}: no node to call", request.names().0);
                return Err(Error::unavailable(CLIENT, detail).never_started());
            };
            let in_flight = InFlight::new(candidate);
            let candidate = in_flight.candidate();
            let (result, outcome) = self.attempt(&mut request, candidate, deadline, since).await;
            self.selector.mark(request.names().0, candidate, outcome);
            let error = match result {
                Ok(response) if response.body.is_stream() => {
                    return Ok(self.followed(response, request.names().0.clone(), in_flight));
                }
                Ok(response) => return Ok(response),
                Err(error) => located(error, request.names(), candidate, attempt),
            };
            let may_repeat = attempt < retries
                && (outcome == Outcome::Unreachable || self.may_repeat(&error, idempotent, &candidates))
                && request.is_still_there();
            if !may_repeat {
                return Err(error);
            }
            let pause = self.options.retry().pause(attempt + 1, candidates.len() > 1);
            let again = Instant::now().checked_add(pause);
            if deadline.is_some_and(|deadline| again.is_none_or(|again| again >= deadline)) {
                return Err(error);
            }
            tracing::debug!(%error, ?pause, "attempt failed; trying again");
            drop(in_flight);
            if !pause.is_zero() {
                sleep(pause).await;
            }
            attempt += 1;
            since = Instant::now();
            if is_past(deadline, since) {
                return Err(error);
            }
        }
    }

    async fn attempt(
        &self,
        request: &mut Outgoing,
        candidate: &Candidate,
        deadline: Option<Instant>,
        since: Instant,
    ) -> (Result<Response>, Outcome) {
        let streams = request.request.kind == CallKind::Stream;
        let peer = match candidate
            .peer(self.owner)
            .and_then(|peer| peer.downcast::<Dialled>().ok())
        {
            Some(peer) => peer,
            // Rare, so it shall not make the future of every call larger.
            None => match Box::pin(self.dial(candidate, deadline, since)).await {
                Ok(peer) => peer,
                Err(error) => return (Err(error), Outcome::Unreachable),
            },
        };
        let call = request.send(&*peer.0);
        let result = match deadline {
            Some(deadline) => timeout_at(deadline, call)
                .await
                .unwrap_or_else(|_| Err(too_late(since))),
            None => call.await,
        };
        let result = match result {
            Err(error) if is_told_late(&error, deadline) => Err(too_late(since)),
            result => result,
        };
        match result {
            Ok(response) if response.body.is_stream() => (Ok(response), Outcome::Ignored),
            Ok(response) => (Ok(response), answered(candidate, streams, since)),
            Err(error) => {
                let outcome = if error.is_never_started() {
                    // What was refused on this side, such as by a limit, says nothing about the node.
                    match error.kind() {
                        ErrorKind::Unavailable => Outcome::Unreachable,
                        _ => Outcome::Ignored,
                    }
                } else if error.is_unanswered() {
                    Outcome::Failed
                } else {
                    // A node that refuses is quick, and must not look like the best one for that.
                    let says_nothing = streams || error.kind() == ErrorKind::TooManyRequests;
                    answered(candidate, says_nothing, since)
                };
                (Err(error), outcome)
            }
        }
    }

    /// Counts a streamed answer as in flight until it ends, and judges the node by how it ends: one that accepts
    /// every stream and cuts it does not serve.
    fn followed(&self, mut response: Response, service: Text, in_flight: InFlight) -> Response {
        let selector = self.selector.clone();
        response.body = response.body.on_end(move |end| {
            let candidate = in_flight.candidate();
            match end {
                Some(Err(error)) if error.is_unanswered() => {
                    selector.mark(&service, candidate, Outcome::Failed);
                }
                Some(_) => candidate.reset(),
                None => {}
            }
        });
        response
    }

    async fn dial(
        &self,
        candidate: &Candidate,
        deadline: Option<Instant>,
        since: Instant,
    ) -> Result<Arc<Dialled>> {
        let node = candidate.node();
        let dial = self.transport.dial(&node);
        let dialled = match deadline {
            Some(deadline) => timeout_at(deadline, dial)
                .await
                .unwrap_or_else(|_| Err(too_late(since))),
            None => dial.await,
        };
        // Nothing was sent yet, whatever the transport says.
        let peer = dialled.map_err(Error::never_started)?;
        let peer = Arc::new(Dialled(wrap_all(&self.wrappers, peer)));
        // Many first calls may have dialled at once: they all use what was kept first, and share its connections.
        let kept = candidate.keep_peer(self.owner, peer.clone());
        Ok(kept.downcast().unwrap_or(peer))
    }

    async fn candidates(
        &self,
        service: &Text,
        route: Option<&Route>,
        deadline: Option<Instant>,
    ) -> Result<Candidates> {
        let narrowed;
        let criteria = match route {
            None => &self.criteria,
            Some(route) if !route.addresses.is_empty() => return Ok(self.fixed(&route.addresses)),
            Some(route) => {
                narrowed = self.narrowed(route);
                &narrowed
            }
        };
        match self.selector.select_now(service, criteria) {
            Some(candidates) => Ok(candidates),
            // Rare, so it shall not make the future of every call larger.
            None => Box::pin(self.select(service, criteria, deadline)).await,
        }
    }

    fn narrowed(&self, route: &Route) -> Criteria {
        let filters = self.criteria.filters.iter().chain(route.filters.iter());
        Criteria {
            filters: filters.cloned().collect(),
            key: route.key.clone(),
        }
    }

    async fn select(
        &self,
        service: &Text,
        criteria: &Criteria,
        deadline: Option<Instant>,
    ) -> Result<Candidates> {
        let select = self.selector.select(service, criteria);
        match deadline {
            Some(deadline) => timeout_at(deadline, select).await.unwrap_or_else(|_| {
                Err(Error::timeout(
                    CLIENT,
                    format!("service {service}: the registry did not answer within the call's deadline"),
                )
                .never_started())
            }),
            None => select.await,
        }
    }

    fn fixed(&self, addresses: &[String]) -> Candidates {
        let mut known = self.fixed.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + addresses.len() > FIXED_ADDRESSES {
            known.clear();
        }
        let candidate = |address: &String| {
            let make = || Arc::new(Candidate::new(Node::new(address, address), ""));
            known.entry(address.clone()).or_insert_with(make).clone()
        };
        Candidates::fixed(addresses.iter().map(candidate).collect::<Vec<_>>())
    }

    fn may_repeat(&self, error: &Error, idempotent: bool, candidates: &Candidates) -> bool {
        if error.is_never_started() {
            // A request that is wrong stays wrong at every node.
            return error.kind() != ErrorKind::BadRequest;
        }
        let transient = matches!(
            error.kind(),
            ErrorKind::Timeout | ErrorKind::Unavailable | ErrorKind::Internal
        ) || matches!(error.kind(), ErrorKind::TooManyRequests);
        idempotent && transient && self.budget.spend(|| candidates.in_flight())
    }
}

impl Handler for Calls {
    // Written out, so that the future of a call without a span has no room for one.
    fn handle<'a, 'b>(&'a self, request: Request) -> BoxFuture<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        if !Trace::is_enabled() {
            return Box::pin(self.call(request));
        }
        let span = Trace::Client.span(&request);
        Box::pin(async move {
            let result = self.call(request).instrument(span.clone()).await;
            Trace::finish(&span, result)
        })
    }
}

impl RetryOptions {
    fn pause(&self, attempt: u32, elsewhere: bool) -> Duration {
        let doublings = match (attempt, elsewhere) {
            (..=1, true) => return Duration::ZERO,
            (_, true) => attempt - 2,
            (_, false) => attempt - 1,
        };
        let whole = self
            .backoff
            .saturating_mul(1 << doublings.min(16))
            .min(self.max_backoff);
        whole.mul_f64(0.5 + 0.5 * fastrand::f64())
    }
}

/// A request that is under way.
struct Outgoing {
    request: Request,
    /// The request's body where that is a stream: it is still there if no attempt has begun to read it.
    stream: Option<Arc<Mutex<Option<Body>>>>,
}

impl Outgoing {
    fn new(mut request: Request) -> Self {
        let is_stream = request.body.is_stream();
        let stream = is_stream.then(|| Arc::new(Mutex::new(Some(request.take_body()))));
        Self { request, stream }
    }

    fn names(&self) -> (&Text, &Text) {
        (&self.request.service, &self.request.endpoint)
    }

    /// One attempt.
    fn send<'a>(&'a mut self, peer: &'a dyn Handler) -> BoxFuture<'a> {
        match &self.stream {
            None => peer.handle_kept(&mut self.request),
            Some(stream) => {
                let mut copy = self.request.copy_without_body();
                copy.body = stand_in(stream.clone());
                peer.handle(copy)
            }
        }
    }

    /// Whether another attempt could send all of it.
    fn is_still_there(&self) -> bool {
        self.stream
            .as_ref()
            .is_none_or(|stream| stream.lock().unwrap_or_else(PoisonError::into_inner).is_some())
    }
}

/// A stream that takes the real one's place until it is read for the first time.
fn stand_in(body: Arc<Mutex<Option<Body>>>) -> Body {
    Body::lots(StandIn { body, real: None })
}

struct StandIn {
    body: Arc<Mutex<Option<Body>>>,
    real: Option<Body>,
}

impl Lots for StandIn {
    fn poll_lot(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Lot>>> {
        if self.real.is_none() {
            let real = self.body.lock().unwrap_or_else(PoisonError::into_inner).take();
            self.real = real;
        }
        match &mut self.real {
            Some(real) => real.poll_lot(context),
            None => Poll::Ready(None),
        }
    }
}

/// Whether the far side answers that the time was up when it is so: it knows the deadline, and both timers run out
/// together. Whichever is noticed first, it is the same end of the call.
fn is_told_late(error: &Error, deadline: Option<Instant>) -> bool {
    let is_answer = !error.is_never_started() && !error.is_unanswered();
    is_answer && error.kind() == ErrorKind::Timeout && is_past(deadline, Instant::now() + ROUNDED)
}

fn too_late(since: Instant) -> Error {
    Error::timeout(
        CLIENT,
        format!("call timeout: no answer after {:?}", since.elapsed()),
    )
    .unanswered()
}

/// The outcome of a call that the node answered. A stream's answer is as late as its caller's last message, so it
/// says nothing about the latency.
fn answered(candidate: &Candidate, says_nothing: bool, since: Instant) -> Outcome {
    if says_nothing {
        candidate.reset();
        return Outcome::Ignored;
    }
    Outcome::Success {
        latency: since.elapsed(),
    }
}

fn is_past(deadline: Option<Instant>, now: Instant) -> bool {
    deadline.is_some_and(|deadline| deadline <= now)
}

fn past(service: &Text, endpoint: &Text) -> Error {
    let detail =
        format!("{service} {endpoint}: call timeout: the deadline had passed before the call was sent");
    Error::timeout(CLIENT, detail).never_started()
}

/// An error of this side says where it happened; what a peer answered speaks for itself.
fn located(error: Error, (service, endpoint): (&Text, &Text), candidate: &Candidate, retries: u32) -> Error {
    if !error.is_never_started() && !error.is_unanswered() {
        return error;
    }
    let tried = if retries == 0 {
        String::new()
    } else {
        format!(", attempt {}", retries + 1)
    };
    error.context(format_args!(
        "{service} {endpoint} at node {} ({}){tried}",
        candidate.id(),
        candidate.address()
    ))
}
