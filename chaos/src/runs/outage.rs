//! The broker's server is restarted and its connections are cut while events are published and handled.

mod judgement;
mod stage;

use std::cell::Cell;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use self::judgement::Judgement;
use self::stage::Stage;
use crate::brokers;
use crate::ledger::Runs;
use crate::options::Outage;
use crate::process::Process;
use crate::progress::Progress;
use crate::publishing::{Counts, Plan, Publishing};
use crate::report::Report;
use crate::site::Site;
use crate::trial::unique;

/// For how long connections are cut: what had arrived by then is handled by its end.
const CUT: Duration = Duration::from_millis(100);
/// How long to wait until something works again.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nothing may come before all events that come twice have come.
const QUIET: Duration = Duration::from_secs(3);
/// How often to look.
const PAUSE: Duration = Duration::from_millis(1);
/// How many events the subscriber handles at once.
const CONCURRENCY: usize = 16;

pub(crate) async fn run(options: &Outage, progress: &Progress) -> Result<Report> {
    let stage = Stage::set(options.broker).await?;
    let site = Site::with_broker(options.broker, stage.address());
    let topic = unique("outage");
    let ledger = Handled(tempfile::tempdir().context("there is no place for the ledger")?);
    let _subscriber = subscribe(options, &site, &topic, &ledger.file()).await?;
    let settings = site.settings("chaos-publisher", &[], brokers::plugins())?;
    let client = settings.client().await.context("there is no client")?.build();
    let plan = Plan {
        publishers: options.publishers,
        rate: options.rate,
        events: options.messages,
    };
    let publishing = Publishing::start(&client, &topic, plan);
    let (counts, step) = (publishing.counts(), Cell::new("all is well"));
    let mut scene = Scene {
        options,
        stage,
        publishing,
        counts: counts.clone(),
        ledger,
        step: &step,
    };
    let text = || format!("outage of {}: {counts}, {}", options.broker, step.get());
    let judgement = progress.during(scene.play(), text).await?;
    let report = judgement.report(options);
    scene.stage.end().await?;
    Ok(report)
}

async fn subscribe(options: &Outage, site: &Site, topic: &str, ledger: &Path) -> Result<Process> {
    let mut arguments = vec![
        "subscriber".to_owned(),
        format!("--topic={topic}"),
        format!("--queue={topic}-workers"),
        format!("--concurrency={CONCURRENCY}"),
        format!("--ledger={}", ledger.display()),
    ];
    let sabotage = options.common.sabotage;
    arguments.extend(sabotage.map(|sabotage| format!("--sabotage={}", sabotage.name())));
    arguments.push("--".to_owned());
    arguments.extend(site.flags().iter().cloned());
    Process::start_ready(&arguments).await
}

struct Scene<'a> {
    options: &'a Outage,
    stage: Stage,
    publishing: Publishing,
    counts: Arc<Counts>,
    ledger: Handled,
    /// For the line of progress.
    step: &'a Cell<&'static str>,
}

/// How long after trouble was over each worked again. `None`: not in time.
#[derive(Debug, Clone, Copy)]
struct Back {
    accepted: Option<Duration>,
    handled: Option<Duration>,
}

const NEVER: Back = Back {
    accepted: None,
    handled: None,
};

impl Scene<'_> {
    async fn play(&mut self) -> Result<Judgement> {
        let Outage { messages, cuts, .. } = *self.options;
        let (mut after_cuts, mut restart) = (Vec::new(), None);
        // The restart comes amid the cuts, and all are spread over the events.
        for turn in 0..=cuts {
            self.publishing.reached(messages * (turn + 1) / (cuts + 2)).await;
            if turn == cuts / 2 {
                restart = Some(self.restart().await?);
            } else {
                after_cuts.extend(self.cut().await?);
            }
        }
        self.step.set("the rest");
        let tally = self.publishing.end().await?;
        self.step.set("all is published, and the rest is handled");
        let failed = tally.failures.iter().map(|failure| failure.call).collect();
        let runs = self.settled(&failed).await?;
        let (away, after_restart) = restart.context("the server was not restarted")?;
        Ok(Judgement {
            lost: lost(&runs, &failed, messages),
            tally,
            runs,
            away,
            after_restart: after_restart.unwrap_or(NEVER),
            after_cuts,
        })
    }

    /// Returns for how long the server was away.
    async fn restart(&mut self) -> Result<(Duration, Option<Back>)> {
        self.step.set("the server is away");
        let began = Instant::now();
        self.stage.restart().await?;
        let away = began.elapsed();
        self.step.set("the server is back");
        Ok((away, self.back().await?))
    }

    async fn cut(&mut self) -> Result<Option<Back>> {
        self.step.set("connections are cut");
        self.stage.proxy.cut().await;
        sleep(CUT).await;
        self.stage.proxy.mend().await?;
        self.step.set("all is well");
        self.back().await
    }

    /// Waits until an event is accepted, and one is handled. `None`: none was left that could be.
    async fn back(&self) -> Result<Option<Back>> {
        let (accepted, handled) = (self.counts.accepted(), self.ledger.count()?);
        let is_over = || self.counts.done() >= self.options.messages;
        let (until_accepted, until_handled) = tokio::join!(
            until(|| Ok(self.counts.accepted() > accepted || is_over())),
            until(|| {
                let count = self.ledger.count()?;
                Ok(count > handled || (is_over() && count >= self.counts.accepted()))
            })
        );
        let went_on = self.counts.accepted() > accepted && self.ledger.count()? > handled;
        let back = Back {
            accepted: until_accepted?,
            handled: until_handled?,
        };
        Ok((went_on || !is_over()).then_some(back))
    }

    /// Waits until everything that was accepted has been handled, and until nothing more comes, or until nothing has
    /// come for too long.
    async fn settled(&self, failed: &HashSet<u64>) -> Result<Runs> {
        let patience = Duration::from_secs(self.options.patience.into());
        let mut handled = (0, Instant::now());
        loop {
            let count = self.ledger.count()?;
            if count > handled.0 {
                handled = (count, Instant::now());
            }
            let quiet = handled.1.elapsed();
            if quiet >= patience || (quiet >= QUIET && count >= self.counts.accepted()) {
                let runs = self.ledger.runs(self.options.messages)?;
                if quiet >= patience || lost(&runs, failed, self.options.messages) == 0 {
                    return Ok(runs);
                }
            }
            sleep(CUT).await;
        }
    }
}

/// How many events were accepted and never handled.
fn lost(runs: &Runs, failed: &HashSet<u64>, events: u64) -> u64 {
    let is_lost = |event: &u64| !runs.has_run(*event) && !failed.contains(event);
    (0..events).filter(is_lost).count() as u64
}

/// How long it takes until something is so.
async fn until(mut is_so: impl FnMut() -> Result<bool>) -> Result<Option<Duration>> {
    let began = Instant::now();
    loop {
        if is_so()? {
            return Ok(Some(began.elapsed()));
        }
        if began.elapsed() > PATIENCE {
            return Ok(None);
        }
        sleep(PAUSE).await;
    }
}

/// What was handled.
struct Handled(TempDir);

impl Handled {
    fn file(&self) -> PathBuf {
        self.0.path().join("ledger")
    }

    /// How many events were handled, each as often as it was.
    fn count(&self) -> Result<u64> {
        let file = std::fs::metadata(self.file()).context("there is no ledger")?;
        Ok(file.len() / 8)
    }

    fn runs(&self, events: u64) -> Result<Runs> {
        Runs::read(self.0.path(), events)
    }
}
