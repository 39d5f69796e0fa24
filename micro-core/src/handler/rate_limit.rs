//! A bound on how many calls come in a second.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::bucket::Bucket;
use super::limit::{is_limited, refused};
use super::rate::Ticks;
use super::{BoxFuture, Handler, Rate, Request, Wrapper};
use crate::error::{CLIENT, SERVER};
use crate::{Error, Result};

/// Lets only so many calls a second through and answers 429 to those beyond, or lets them [wait](Self::waiting).
///
/// Around a server it sheds what the service is not to take on: a refusal costs next to nothing. The framework's own
/// `Debug.*` endpoints are not limited, so that who looks after the service still sees it. Around a client's attempts it
/// keeps the client from asking more than it may of others; a refused attempt surely never started.
///
/// Without a rate nothing is limited, and that costs a call no more than reading a number.
///
/// ```
/// use micro_core::Service;
/// use micro_core::handler::{Rate, RateLimit};
///
/// let limit = RateLimit::new(Rate::new(1000.0)?);
/// let builder = Service::builder("greeter").wrap_server(limit.clone());
/// // Any time later:
/// limit.set(Rate::new(50.0)?.with_burst(10)?);
/// limit.set(None);
/// # Ok::<(), micro_core::Error>(())
/// ```
#[derive(Clone)]
pub struct RateLimit {
    bucket: Arc<Bucket>,
    waits: bool,
}

impl RateLimit {
    /// A limit that all handlers wrapped by this value, or its clones, share. `None`: none for now.
    pub fn new(rate: impl Into<Option<Rate>>) -> Self {
        Self {
            bucket: Arc::new(Bucket::new(rate.into())),
            waits: false,
        }
    }

    /// The same limit, shared with this one, for callers that rather wait for their turn than be refused, in the order in
    /// which they come. They are refused at once when their turn comes after the request's deadline.
    ///
    /// It is meant for the attempts of a client, where every call has a deadline
    /// ([`wrap_attempt`](crate::ServiceBuilder::wrap_attempt)): what has none waits however long it takes. Whoever is
    /// dropped while it waits has used its turn.
    #[must_use]
    pub fn waiting(&self) -> Self {
        Self {
            bucket: self.bucket.clone(),
            waits: true,
        }
    }

    /// Another rate from now on, or none. Of those that may come at once, as many as were used stay used. Two changes at the
    /// same time may mix.
    pub fn set(&self, rate: impl Into<Option<Rate>>) {
        self.bucket.set(rate.into());
    }

    /// The rate of now.
    pub fn get(&self) -> Option<Rate> {
        self.bucket.rate()
    }

    fn admit(&self, request: &Request) -> Admission {
        let Some(rate) = self.get().filter(|_| is_limited(request)) else {
            return Admission::Now;
        };
        match self.bucket.take(rate, self.patience(request)) {
            Ok(Ticks::ZERO) => Admission::Now,
            Ok(wait) => Admission::After(rate, wait),
            Err(wait) => Admission::Never(self.refusal(request, rate, wait)),
        }
    }

    /// How long a request may wait.
    fn patience(&self, request: &Request) -> Ticks {
        if !self.waits {
            return Ticks::ZERO;
        }
        let left = request.remaining().map(Ticks::from);
        left.unwrap_or(Ticks::LONGEST).min(Ticks::LONGEST)
    }

    /// Waits for a turn that was taken; where the rate changes, for that which it has then.
    async fn wait(&self, request: &mut Request, mut rate: Rate, mut wait: Ticks) -> Result<()> {
        loop {
            let changed = self.bucket.changed();
            if self.get() == Some(rate) {
                tokio::select! {
                    () = sleep(wait.into()) => return Ok(()),
                    () = changed => {}
                }
            }
            match self.admit(request) {
                Admission::Now => return Ok(()),
                Admission::After(now, longer) => (rate, wait) = (now, longer),
                Admission::Never(error) => return Err(error),
            }
        }
    }

    fn refusal(&self, request: &Request, rate: Rate, wait: Ticks) -> Error {
        let wait = rounded(wait.into());
        match self.waits {
            false => refused(
                SERVER,
                request,
                format_args!("the limit is {rate}; try again in {wait:?}, or raise the limit"),
            ),
            true => refused(
                CLIENT,
                request,
                format_args!(
                    "the limit is {rate}, and the turn of this call comes in {wait:?}, after its deadline; call less often, or \
                     raise the limit"
                ),
            ),
        }
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RateLimit")
            .field("rate", &self.get())
            .field("waits", &self.waits)
            .finish()
    }
}

enum Admission {
    Now,
    /// The turn is taken, and comes later.
    After(Rate, Ticks),
    Never(Error),
}

/// For people, who do not count nanoseconds.
fn rounded(wait: Duration) -> Duration {
    Duration::from_millis(u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
}

impl Wrapper for RateLimit {
    fn wrap(&self, inner: Arc<dyn Handler>) -> Arc<dyn Handler> {
        Arc::new(Limited {
            inner,
            limit: self.clone(),
        })
    }
}

struct Limited {
    inner: Arc<dyn Handler>,
    limit: RateLimit,
}

impl Handler for Limited {
    // Written out, so that the inner future of a call that need not wait is returned as it is, without a box around it.
    fn handle<'a, 'b>(&'a self, mut request: Request) -> BoxFuture<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        match self.limit.admit(&request) {
            Admission::Now => self.inner.handle(request),
            Admission::After(rate, wait) => Box::pin(async move {
                self.limit.wait(&mut request, rate, wait).await?;
                self.inner.handle(request).await
            }),
            Admission::Never(error) => Box::pin(async move { Err(error) }),
        }
    }

    fn handle_kept<'a, 'b, 'c>(&'a self, request: &'b mut Request) -> BoxFuture<'c>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        match self.limit.admit(request) {
            Admission::Now => self.inner.handle_kept(request),
            Admission::After(rate, wait) => Box::pin(async move {
                self.limit.wait(request, rate, wait).await?;
                self.inner.handle_kept(request).await
            }),
            Admission::Never(error) => Box::pin(async move { Err(error) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::time::Instant;

    use super::*;
    use crate::handler::{Response, handler_fn};

    fn rate(per_second: f64, burst: u32) -> Rate {
        Rate::new(per_second).unwrap().with_burst(burst).unwrap()
    }

    fn around(limit: &RateLimit) -> Arc<dyn Handler> {
        limit.wrap(Arc::new(handler_fn(|_| async { Ok(Response::default()) })))
    }

    fn request(endpoint: &'static str) -> Request {
        Request::new("greeter", endpoint, "")
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_too_many_is_told_the_limit_and_when_to_come_again() {
        let limit = RateLimit::new(rate(0.5, 1));
        let handler = around(&limit);
        let mut kept = request("A.B");
        assert!(handler.handle_kept(&mut kept).await.is_ok());
        for refused in [
            handler.handle(request("A.B")).await,
            handler.handle_kept(&mut kept).await,
        ] {
            let error = refused.unwrap_err();
            assert_eq!(
                error.to_string(),
                "greeter A.B: too many requests: the limit is 0.5 calls a second, 1 at once; try again in 2s, or raise the \
                 limit (go.micro.server 429)"
            );
            assert_eq!(error.status(), "Too Many Requests");
            assert!(error.is_never_started());
        }
        assert!(handler.handle(request("Debug.Health")).await.is_ok());
        limit.set(None);
        assert!(handler.handle(request("A.B")).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn callers_that_wait_come_evenly_and_in_their_order() {
        let handler = around(&RateLimit::new(rate(10.0, 1)).waiting());
        let began = Instant::now();
        let calls = (0..5u32).map(|number| {
            let call = handler.handle(request("A.B"));
            async move {
                call.await.unwrap();
                (number, began.elapsed().as_millis())
            }
        });
        let turns: Vec<_> = join_all(calls).await;
        let expected: Vec<_> = (0..5).map(|number| (number, u128::from(number) * 100)).collect();
        assert_eq!(turns, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn who_would_wait_beyond_its_deadline_is_refused_at_once_and_takes_no_turn() {
        let handler = around(&RateLimit::new(rate(1.0, 1)).waiting());
        handler.handle(request("A.B")).await.unwrap();
        let began = Instant::now();
        for _ in 0..10 {
            let mut late = request("A.B");
            late.deadline = Some(began + Duration::from_millis(900));
            let error = handler.handle(late).await.unwrap_err();
            assert!(
                error.detail().contains("comes in 1s, after its deadline"),
                "{error}"
            );
            assert_eq!((error.code(), error.id()), (429, "go.micro.client"));
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        let mut patient = request("A.B");
        patient.deadline = Some(began + Duration::from_millis(1100));
        handler.handle_kept(&mut patient).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_not_kept_by_a_limit_that_is_gone() {
        let limit = RateLimit::new(rate(0.01, 1));
        let handler = around(&limit.waiting());
        handler.handle(request("A.B")).await.unwrap();
        let began = Instant::now();
        let change = async {
            sleep(Duration::from_secs(1)).await;
            limit.set(Rate::new(2.0).unwrap());
            sleep(Duration::from_secs(2)).await;
            limit.set(None);
        };
        let calls = (0..8).map(|_| handler.handle(request("A.B")));
        let (answers, ()) = tokio::join!(join_all(calls), change);
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(began.elapsed(), Duration::from_secs(3));
    }
}
