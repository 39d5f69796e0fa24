//! Named cases, what runs them, and what they end with.

mod ending;
mod macros;
pub(crate) mod outage;
mod report;
mod wait;

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt};
use tokio::runtime::{Builder, Runtime};

pub use self::ending::{Ending, Failure, Outcome};
pub(crate) use self::macros::{ensure, ensure_eq, needs};
pub use self::report::Report;
pub(crate) use self::wait::{Dropped, partly, soon};

/// How long a case may take before it has failed because it hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many cases a runner works on at once.
const AT_ONCE: usize = 4;

/// A future that a case or a factory returns.
pub type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a suite tests: made anew for each case, and cleaned up after it.
pub trait Subject: Clone + Send + Sync + 'static {
    /// Whether the clock of the case's runtime is paused, so that waiting takes no time.
    const PAUSED: bool = false;

    /// Takes back what the case left in a place that outlives it, such as a server.
    fn clean(self) -> Boxed<()> {
        Box::pin(async {})
    }
}

/// One thing that every implementation must do, by a name that says it.
pub struct Case<S> {
    name: &'static str,
    run: fn(S) -> Boxed<Outcome>,
}

impl<S> Case<S> {
    /// A case. The macros of this crate make them.
    #[doc(hidden)]
    pub const fn new(name: &'static str, run: fn(S) -> Boxed<Outcome>) -> Self {
        Self { name, run }
    }
}

/// All cases of one trait, to be run from a program; tests use the macro of the trait's module.
pub struct Suite<S> {
    cases: Vec<Case<S>>,
}

impl<S: Subject> Suite<S> {
    pub(crate) fn new(cases: Vec<Case<S>>) -> Self {
        Self { cases }
    }

    /// The names of the cases.
    pub fn names(&self) -> Vec<&'static str> {
        self.cases.iter().map(|case| case.name).collect()
    }

    /// This suite with just the cases of these names.
    #[must_use]
    pub fn only(mut self, names: &[&str]) -> Self {
        self.cases.retain(|case| names.contains(&case.name));
        self
    }

    /// Runs all cases, several at once, and collects how they ended. A panic or a hang fails its case alone.
    ///
    /// Each case runs in a runtime of its own, on a thread of the caller's runtime.
    pub(crate) async fn collect(
        self,
        make: impl Fn() -> Boxed<Result<S, Failure>> + Send + Sync + 'static,
    ) -> Report {
        let make = Arc::new(make);
        let endings = stream::iter(self.cases).map(|case| {
            let make = make.clone();
            async move {
                let name = case.name;
                let ending = tokio::task::spawn_blocking(move || run_case(&case, make()));
                let outcome = ending.await.unwrap_or_else(|panic| Err(panicked(&panic)));
                (name, outcome)
            }
        });
        endings
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .collect()
    }

    /// Runs one case and panics if it fails, as tests do.
    pub(crate) fn check(self, name: &str, make: Boxed<Result<S, Failure>>) {
        let Some(case) = self.cases.iter().find(|case| case.name == name) else {
            panic!("there is no case {name}");
        };
        match run_case(case, make) {
            Ok(()) => {}
            Err(Ending::Skipped(why)) => println!("skipped {name}: {why}"),
            Err(Ending::Failed(failure)) => panic!("{name}: {failure}"),
        }
    }
}

fn run_case<S: Subject>(case: &Case<S>, make: Boxed<Result<S, Failure>>) -> Outcome {
    let runtime = runtime(S::PAUSED)?;
    let ending = runtime.block_on(async {
        let subject = make.await?;
        let outcome = AssertUnwindSafe(tokio::time::timeout(PATIENCE, (case.run)(subject.clone())))
            .catch_unwind()
            .await;
        subject.clean().await;
        match outcome {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Failure::new(format!("hangs: not done after {PATIENCE:?}")).into()),
            Err(panic) => Err(panicked(panic.as_ref())),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    ending
}

fn runtime(paused: bool) -> Result<Runtime, Failure> {
    let runtime = if paused {
        Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
    } else {
        Builder::new_multi_thread().worker_threads(2).enable_all().build()
    };
    runtime.map_err(|problem| Failure::new(format!("no runtime for the case: {problem}")))
}

fn panicked(panic: &(dyn Any + Send)) -> Ending {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Failure::new(format!("panicked: {}", text.unwrap_or("without a message"))).into()
}
