//! The registry's server is gone under load, and comes back empty.

mod judgement;

use std::cell::Cell;
use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use micro::Plugins;
use micro::service::RegistrationOptions;
use tokio::time::{Instant, sleep, sleep_until};

use self::judgement::Judgement;
use crate::backend::Backend;
use crate::fleet::Kind;
use crate::load::Plan;
use crate::lookout::Lookout;
use crate::options::Blackout;
use crate::phases::Phases;
use crate::progress::Progress;
use crate::report::Report;
use crate::site::{Site, lifetime};
use crate::trial::Trial;

/// How long calls go on before the server is gone, and after the nodes are back.
const AROUND: Duration = Duration::from_secs(5);
/// How much longer than the nodes callers may take to notice that the server is back: they ask it again after 11 s at
/// most.
const NOTICED: Duration = Duration::from_secs(15);
/// How much longer than its lifetime a record may stay whose node was killed.
const LAPSE: Duration = Duration::from_secs(5);
/// How long to wait for something beyond the time that is promised.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often to look whether a node has been called.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) async fn run(options: &Blackout, progress: &Progress) -> Result<Report> {
    let backend = Backend::start(options.registry).await?;
    let ttl = Duration::from_secs(options.ttl.into());
    let site = Site::at(options.registry, backend.address(), ttl);
    let registration = site
        .settings("chaos", &[], Plugins::builtin())?
        .service
        .registration;
    let kind = Kind {
        sabotage: options.common.sabotage,
        ..Kind::default()
    };
    let trial = Trial::start(site.clone(), "blackout", options.nodes, kind, "random").await?;
    let plan = Plan {
        callers: options.callers,
        rate: Some(options.rate),
        calls: None,
    };
    let load = trial.load(plan, false);
    let (so_far, stage) = (load.so_far(), Cell::new("before"));
    let phases = Phases::new(load, trial.attempts.clone());
    let mut scene = Scene {
        options,
        kind,
        site,
        registration,
        backend,
        trial,
        phases,
        stage: &stage,
    };
    let text = || format!("blackout: {so_far}, {}", stage.get());
    let judgement = progress.during(scene.play(), text).await?;
    let report = judgement.report(options, &scene.trial, scene.phases)?;
    scene.backend.end().await?;
    Ok(report)
}

struct Scene<'a> {
    options: &'a Blackout,
    kind: Kind,
    site: Site,
    registration: RegistrationOptions,
    backend: Backend,
    trial: Trial,
    phases: Phases,
    /// For the line of progress.
    stage: &'a Cell<&'static str>,
}

/// How the server and the nodes came back. Times are on the clock of the attempts.
struct Back {
    /// For how long the server was gone.
    gone_for: Duration,
    returned: Duration,
    /// The nodes that were there before.
    nodes: Vec<String>,
    /// The node that was started while the server was gone.
    dark: String,
    /// When each node was first seen in the registry.
    arrivals: HashMap<String, Duration>,
    /// When the node that was started in the dark was called first.
    called: Option<Duration>,
}

impl Scene<'_> {
    async fn play(&mut self) -> Result<Judgement> {
        let name = self.options.registry.name();
        let blackout = Duration::from_secs(self.options.secs.into());
        sleep(AROUND.min(blackout)).await;
        self.phases.turn(format!("{name}, before")).await?;

        self.stage.set("the registry's server is gone");
        let nodes = self.trial.fleet.ids();
        self.backend.kill().await?;
        let gone = Instant::now();
        sleep_until(gone + blackout / 2).await;
        self.trial.fleet.add_in_the_dark(self.kind).await?;
        sleep_until(gone + blackout).await;
        self.backend.start_empty().await?;
        let (gone_for, returned) = (gone.elapsed(), self.trial.attempts.now());

        self.stage.set("it is back, and empty");
        self.trial.fleet.admit_again().await?;
        let ids = self.trial.fleet.ids();
        let dark = ids.last().cloned().unwrap_or_default();
        let mut lookout = Lookout::new(&self.site, &self.trial.service, &self.trial.attempts)?;
        let until = returned + 2 * self.registration.interval + PATIENCE;
        let turn = self.phases.turn(format!("{name} gone"));
        let (turned, arrivals) = tokio::join!(turn, lookout.arrivals(&ids, until));
        turned?;
        sleep(AROUND.min(blackout)).await;
        let called = self.first_call(&dark, until + NOTICED).await;
        self.phases.end(format!("{name} back")).await?;

        let back = Back {
            gone_for,
            returned,
            nodes,
            dark,
            arrivals,
            called,
        };
        self.stage.set("a node was killed, and its record is still there");
        let lapsed = self.kill_one(&back).await?;
        Ok(Judgement {
            kind: self.options.registry,
            registration: self.registration,
            back,
            lapsed,
        })
    }

    /// When a node was called first, if it was until that time.
    async fn first_call(&self, node: &str, until: Duration) -> Option<Duration> {
        loop {
            let picks = self.trial.attempts.picks();
            let first = picks.get(node).and_then(|picks| picks.first);
            if first.is_some() || self.trial.attempts.now() > until {
                return first;
            }
            sleep(PAUSE).await;
        }
    }

    /// Kills a node that is registered. Returns how long it was found from then on, if it was found at first and did not
    /// stay.
    async fn kill_one(&mut self, back: &Back) -> Result<Option<Duration>> {
        let Some(node) = back.nodes.iter().find(|node| back.arrivals.contains_key(*node)) else {
            return Ok(None);
        };
        let Trial {
            fleet,
            attempts,
            service,
            ..
        } = &mut self.trial;
        let killed = fleet.kill_for_good(node, attempts).await?.signalled;
        let (_, lifetime) = lifetime(self.options.registry, self.registration.ttl);
        let until = killed + lifetime + LAPSE + PATIENCE;
        let mut lookout = Lookout::new(&self.site, service, attempts)?;
        let gone = lookout.departure(node, until).await;
        Ok(gone.map(|gone| gone.saturating_sub(killed)))
    }
}
