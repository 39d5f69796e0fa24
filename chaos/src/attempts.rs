//! Which node each attempt of a call went to, and how it went: noted by a transport around the real one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use micro::registry::Node;
use micro::transport::Listener;
use micro::{Error, ErrorKind, Handler, Request, Response, Transport};

/// All attempts of a client. Times count from when this was made.
pub(crate) struct Attempts {
    began: Instant,
    total: AtomicU64,
    nodes: Mutex<HashMap<String, Arc<Seen>>>,
}

/// The attempts at one node.
#[derive(Default)]
struct Seen(Mutex<Picks>);

/// When one node was picked and how that ended, as far as it matters: all that failed, and when the last began.
#[derive(Debug, Default, Clone)]
pub(crate) struct Picks {
    /// When the first attempt began.
    pub(crate) first: Option<Duration>,
    /// When the last attempt began.
    pub(crate) last: Option<Duration>,
    /// When the first attempt found nobody there, since which the client can know.
    pub(crate) lost: Option<Duration>,
    /// When each attempt after that began.
    pub(crate) after: Vec<Duration>,
    /// Those that failed.
    pub(crate) failed: Vec<Failed>,
}

/// An attempt that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    /// The number of the call; `None` if the request held none.
    pub(crate) call: Option<u64>,
    pub(crate) began: Duration,
    pub(crate) ended: Duration,
    /// Whether the connection broke, so that nobody knows.
    pub(crate) unanswered: bool,
}

impl Attempts {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            total: AtomicU64::new(0),
            nodes: Mutex::default(),
        })
    }

    /// The time on the clock of these attempts.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// How many there were.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// What is known of each node, by its id.
    pub(crate) fn picks(&self) -> HashMap<String, Picks> {
        let nodes = lock(&self.nodes);
        let picks = nodes.iter().map(|(id, seen)| (id.clone(), lock(&seen.0).clone()));
        picks.collect()
    }

    fn seen(&self, id: &str) -> Arc<Seen> {
        lock(&self.nodes).entry(id.to_owned()).or_default().clone()
    }
}

impl Seen {
    fn begins(&self, at: Duration) {
        let mut picks = lock(&self.0);
        picks.first.get_or_insert(at);
        picks.last = picks.last.max(Some(at));
        if picks.lost.is_some() {
            picks.after.push(at);
        }
    }

    fn fails(&self, failed: Failed, error: &Error) {
        let mut picks = lock(&self.0);
        if (error.is_never_started() || failed.unanswered) && error.kind() == ErrorKind::Unavailable {
            picks.lost.get_or_insert(failed.ended);
        }
        picks.failed.push(failed);
    }
}

/// A transport that notes each attempt.
pub(crate) struct Watched {
    pub(crate) inner: Arc<dyn Transport>,
    pub(crate) attempts: Arc<Attempts>,
}

#[async_trait]
impl Transport for Watched {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn protocol(&self) -> &str {
        self.inner.protocol()
    }

    async fn dial(&self, node: &Node) -> micro::Result<Arc<dyn Handler>> {
        Ok(Arc::new(WatchedPeer {
            inner: self.inner.dial(node).await?,
            attempts: self.attempts.clone(),
            seen: self.attempts.seen(&node.id),
        }))
    }

    async fn listen(&self, address: &str, handler: Arc<dyn Handler>) -> micro::Result<Box<dyn Listener>> {
        self.inner.listen(address, handler).await
    }
}

struct WatchedPeer {
    inner: Arc<dyn Handler>,
    attempts: Arc<Attempts>,
    seen: Arc<Seen>,
}

#[async_trait]
impl Handler for WatchedPeer {
    async fn handle(&self, request: Request) -> micro::Result<Response> {
        let (call, began) = (number(&request), self.attempts.now());
        self.attempts.total.fetch_add(1, Ordering::Relaxed);
        self.seen.begins(began);
        let result = self.inner.handle(request).await;
        if let Err(error) = &result {
            let failed = Failed {
                call,
                began,
                ended: self.attempts.now(),
                unanswered: error.is_unanswered(),
            };
            self.seen.fails(failed, error);
        }
        result
    }
}

/// The number of the call, which is all that its body holds.
fn number(request: &Request) -> Option<u64> {
    let body = std::str::from_utf8(request.body.as_single()?).ok()?;
    body.trim_end().parse().ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
