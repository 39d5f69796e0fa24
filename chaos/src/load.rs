//! The callers: numbered calls, one after the other by each, and what became of them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use micro::{Client, Text};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::node::ENDPOINT;
use crate::statistics::thousands;

/// How much load there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) callers: u32,
    /// Calls per second of all callers together. `None`: each calls again as soon as it has its answer.
    pub(crate) rate: Option<u32>,
    /// How many calls there are at most. `None`: as many as come about before the load is stopped.
    pub(crate) calls: Option<u64>,
}

/// Callers that call. Dropping it stops them at once.
pub(crate) struct Load {
    shared: Arc<Shared>,
    plan: Plan,
    callers: JoinSet<Tally>,
}

struct Shared {
    client: Client,
    service: Text,
    /// Also the number of the next call.
    begun: AtomicU64,
    failed: AtomicU64,
    limit: u64,
    stopped: AtomicBool,
}

/// What became of some calls.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    /// Nanoseconds from each call to its answer, sorted once the load has ended.
    pub(crate) times: Vec<u64>,
    pub(crate) failures: Vec<Failure>,
}

/// A call that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) call: u64,
    pub(crate) error: String,
}

impl Load {
    /// Begins to call.
    pub(crate) fn start(client: Client, service: &str, plan: Plan) -> Self {
        let shared = Arc::new(Shared {
            client,
            service: service.into(),
            begun: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            limit: plan.calls.unwrap_or(u64::MAX),
            stopped: AtomicBool::new(false),
        });
        let mut load = Self {
            shared,
            plan,
            callers: JoinSet::new(),
        };
        load.resume();
        load
    }

    /// Begins to call again after the load was [stopped](Self::stop) and its [end](Self::end) waited for. The numbers of
    /// the calls go on.
    pub(crate) fn resume(&mut self) {
        self.shared.stopped.store(false, Ordering::Relaxed);
        let (began, plan) = (Instant::now(), self.plan);
        for number in 0..plan.callers {
            let pace = plan.rate.map(|rate| Pace::new(number, plan.callers, rate, began));
            self.callers.spawn(call_on(self.shared.clone(), pace));
        }
    }

    /// How many calls have begun.
    pub(crate) fn calls(&self) -> u64 {
        self.shared.calls()
    }

    /// What has come about so far, for the line of progress.
    pub(crate) fn so_far(&self) -> SoFar {
        SoFar(self.shared.clone())
    }

    /// Waits until so many calls have begun.
    pub(crate) async fn reached(&self, calls: u64) {
        while self.calls() < calls {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets no further call begin.
    pub(crate) fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
    }

    /// Waits for the callers, who end at the limit or when the load was [stopped](Self::stop).
    pub(crate) async fn end(&mut self) -> Result<Tally> {
        let mut all = Tally::default();
        while let Some(tally) = self.callers.join_next().await {
            let tally = tally?;
            all.times.extend(tally.times);
            all.failures.extend(tally.failures);
        }
        all.times.sort_unstable();
        Ok(all)
    }
}

/// How many calls there are by now, and how many of them failed.
pub(crate) struct SoFar(Arc<Shared>);

impl fmt::Display for SoFar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.0.failed.load(Ordering::Relaxed);
        write!(
            formatter,
            "{} calls, {} failed",
            thousands(self.0.calls()),
            thousands(failed)
        )
    }
}

impl Shared {
    // Each caller counts one too many before it sees the limit.
    fn calls(&self) -> u64 {
        self.begun.load(Ordering::Relaxed).min(self.limit)
    }
}

async fn call_on(shared: Arc<Shared>, mut pace: Option<Pace>) -> Tally {
    let mut tally = Tally::default();
    loop {
        if let Some(pace) = &mut pace {
            pace.wait().await;
        }
        if shared.stopped.load(Ordering::Relaxed) {
            return tally;
        }
        let call = shared.begun.fetch_add(1, Ordering::Relaxed);
        if call >= shared.limit {
            return tally;
        }
        let began = Instant::now();
        let answer = shared
            .client
            .call_plain::<u64, u64>(shared.service.clone(), ENDPOINT, call)
            .await;
        tally.times.push(nanoseconds(began.elapsed()));
        let error = match answer {
            Ok(answer) if answer == call => continue,
            Ok(answer) => format!("call {call} was given the answer to call {answer}"),
            Err(error) => error.to_string(),
        };
        shared.failed.fetch_add(1, Ordering::Relaxed);
        tally.failures.push(Failure { call, error });
    }
}

/// When one caller calls, so that all callers together keep to a rate.
pub(crate) struct Pace {
    next: Instant,
    interval: Duration,
}

impl Pace {
    pub(crate) fn new(number: u32, callers: u32, rate: u32, began: Instant) -> Self {
        let interval = Duration::from_secs(1) * callers / rate;
        Self {
            next: began + interval * number / callers,
            interval,
        }
    }

    /// Waits until it is time. Time that a slow answer took is not made up for: that would be a burst.
    pub(crate) async fn wait(&mut self) {
        let due = self.next.max(Instant::now());
        sleep_until(due).await;
        self.next = due + self.interval;
    }
}

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
