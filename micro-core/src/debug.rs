//! What a service tells about itself: whether it serves, what it counts, what it logged, whom it answered.
//!
//! Every service answers `Debug.Health`, `Debug.Stats`, `Debug.Log` and `Debug.Trace` with Go Micro's messages, so
//! that its tools show Rust services as they show others. The endpoints are internal: the registry does not list
//! them. A handler of one's own under one of these names takes its place, and
//! [`without_debug`](crate::ServiceBuilder::without_debug) leaves them all out.
//!
//! They tell what the process logs to everybody who may call the service. Where callers are not trusted, a wrapper
//! around the server that refuses them refuses them here, too.
//!
//! # Which calls have a span
//!
//! A call whose caller records its trace, as its `traceparent` says; up to 100 a second, together with the calls that
//! such calls make [within](crate::Client::within) their context. A failure; up to 20 a second, without a duration
//! where the call was not recorded from its start. And of calls without a trace the first few a second, for which one
//! begins here and travels on: see [`DiagnosticsOptions::traces_per_second`]. The others cost no look at the clock.
//! Events are recorded as calls are.

mod endpoints;
mod health;
mod log;
mod messages;
mod observed;
mod process;
mod readiness;
mod sampler;
mod spans;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Result;
use crate::service::ServiceOptions;
use crate::transport::http::Route;

use self::health::HealthRoute;
use self::readiness::Stage;
use self::spans::Spans;

pub use self::log::RecentLog;
pub use self::messages::{
    HealthRequest, HealthResponse, LogRequest, Record, Span, SpanType, StatsRequest, StatsResponse,
    TraceRequest, TraceResponse,
};
pub use self::readiness::Readiness;

pub(crate) use self::observed::Observe;
pub(crate) use self::spans::{Recording, Traced};

/// What one service knows about itself. Clones are the same.
///
/// A [`ServiceBuilder`](crate::ServiceBuilder) makes its own; another is needed only to give it options, or to have
/// its [route](Self::route) before the service is there.
#[derive(Clone)]
pub struct Diagnostics(Arc<Shared>);

/// How a service keeps what it tells about itself.
#[derive(Debug, Clone)]
pub struct DiagnosticsOptions {
    /// What `Debug.Log` is answered from. Default: a log of its own, into which nobody writes.
    pub log: RecentLog,
    /// How many traces begin here in a second, for calls that come without one. Default: 10.
    pub traces_per_second: u32,
}

impl Default for DiagnosticsOptions {
    fn default() -> Self {
        Self {
            log: RecentLog::new(),
            traces_per_second: 10,
        }
    }
}

/// Says whether something that a service needs is well.
pub(crate) type Check = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<()>> + Send>> + Send + Sync>;

struct Shared {
    since: Instant,
    started: SystemTime,
    stage: Stage,
    requests: AtomicU64,
    errors: AtomicU64,
    /// Only to choose which of them have a span.
    events: AtomicU64,
    log: RecentLog,
    spans: Arc<Spans>,
    checks: Mutex<Vec<(String, Check)>>,
    /// Name and version, once they are known.
    service: OnceLock<(String, String)>,
    /// What the endpoints say of themselves in Protobuf's words.
    descriptors: Mutex<Vec<&'static [u8]>>,
    /// Ends the streams of log lines, which would keep the service from stopping.
    closing: CancellationToken,
}

impl Diagnostics {
    /// Those of a service that has not started yet.
    pub fn new(options: DiagnosticsOptions) -> Self {
        Self(Arc::new(Shared {
            since: Instant::now(),
            started: SystemTime::now(),
            stage: Stage::new(),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            events: AtomicU64::new(0),
            log: options.log,
            spans: Arc::new(Spans::new(options.traces_per_second)),
            checks: Mutex::default(),
            service: OnceLock::new(),
            descriptors: Mutex::default(),
            closing: CancellationToken::new(),
        }))
    }

    /// Where in its life the service is.
    pub fn readiness(&self) -> Readiness {
        self.0.stage.get()
    }

    /// The lines that `Debug.Log` is answered from.
    pub fn log(&self) -> &RecentLog {
        &self.0.log
    }

    /// The spans of a trace that are still kept, or all where the id is empty, in the order in which they ended.
    pub fn spans(&self, trace: &str) -> Vec<Span> {
        self.0.spans.of(trace)
    }

    /// The counts of this moment. The tasks are those of the runtime that asks; 0 outside one.
    pub fn stats(&self) -> StatsResponse {
        let shared = &self.0;
        let tasks = Handle::try_current().map(|runtime| runtime.metrics().num_alive_tasks());
        StatsResponse {
            timestamp: seconds(SystemTime::now()),
            started: seconds(shared.started),
            uptime: shared.since.elapsed().as_secs(),
            memory: process::memory(),
            threads: tasks.unwrap_or_default() as u64,
            gc: 0,
            requests: shared.requests.load(Relaxed),
            errors: shared.errors.load(Relaxed),
        }
    }

    /// Answers plain HTTP: `/health` and `/health/ready` with 200 while the service serves and its
    /// [checks](crate::ServiceBuilder::health_check) succeed and with 503 otherwise, `/health/live` with 200 always.
    ///
    /// The HTTP transport that a builder makes by default has it. For one of your own:
    ///
    /// ```
    /// use micro_core::debug::Diagnostics;
    /// use micro_core::transport::http::HttpConfig;
    ///
    /// let diagnostics = Diagnostics::default();
    /// let config = HttpConfig {
    ///     routes: vec![("/health".into(), diagnostics.route())],
    ///     ..HttpConfig::default()
    /// };
    /// let builder = micro_core::Service::builder("greeter").diagnostics(diagnostics);
    /// ```
    pub fn route(&self) -> Arc<dyn Route> {
        Arc::new(HealthRoute(self.clone()))
    }

    /// The name of the service. Empty before it is known.
    pub fn service(&self) -> &str {
        self.0.service.get().map_or("", |(name, _)| name)
    }

    /// Whether the service serves and its [checks](crate::ServiceBuilder::health_check) succeed, as `/health` says.
    /// Takes as long as the slowest check, and no longer than 5 s.
    pub async fn is_well(&self) -> bool {
        self.check().await.iter().all(health::Checked::is_up)
    }

    /// Waits until the service ends its streams because it stops.
    pub async fn closing(&self) {
        self.0.closing.cancelled().await;
    }

    /// The `FileDescriptorSet`s of the service's endpoints, encoded, as generated code has them.
    pub fn descriptors(&self) -> Vec<&'static [u8]> {
        self.0
            .descriptors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Learns of descriptors, of which many endpoints have the same.
    pub(crate) fn learn(&self, descriptors: impl Iterator<Item = &'static [u8]>) {
        let mut known = self.0.descriptors.lock().unwrap_or_else(PoisonError::into_inner);
        for set in descriptors.filter(|set| !set.is_empty()) {
            if !known.contains(&set) {
                known.push(set);
            }
        }
    }

    pub(crate) fn advance(&self, readiness: Readiness) {
        self.0.stage.advance(readiness);
    }

    /// Ends the streams of log lines.
    pub(crate) fn close(&self) {
        self.0.closing.cancel();
    }

    pub(crate) fn describe(&self, service: &ServiceOptions, checks: Vec<(String, Check)>) {
        let _ = self
            .0
            .service
            .set((service.name.clone(), service.version.clone()));
        let mut known = self.0.checks.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(checks);
    }
}

impl Default for Diagnostics {
    fn default() -> Self {
        Self::new(DiagnosticsOptions::default())
    }
}

impl fmt::Debug for Diagnostics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Diagnostics")
            .field("readiness", &self.readiness())
            .field("log", &self.0.log)
            .finish_non_exhaustive()
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
