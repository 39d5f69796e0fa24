//! What is wrong with sources while they are watched.

use std::time::Duration;

use micro::config::Config;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often to look: a configuration tells of changes, and not of what it refused.
const PAUSE: Duration = Duration::from_millis(200);

/// Tells what becomes wrong with a source, and that it is well again.
pub(super) struct Troubles<'a> {
    config: &'a Config,
    looks: Interval,
    known: Vec<Option<String>>,
}

impl<'a> Troubles<'a> {
    /// From now on.
    pub(super) fn of(config: &'a Config) -> Self {
        let mut looks = interval(PAUSE);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            config,
            looks,
            known: said(config).into_iter().map(|(_, wrong)| wrong).collect(),
        }
    }

    /// The next, as a sentence. May be dropped before it returns: nothing is missed.
    pub(super) async fn next(&mut self) -> String {
        loop {
            self.looks.tick().await;
            for (known, (name, wrong)) in self.known.iter_mut().zip(said(self.config)) {
                if *known == wrong {
                    continue;
                }
                known.clone_from(&wrong);
                return match wrong {
                    Some(wrong) => format!("{name} is not taken over, and what it said last counts: {wrong}"),
                    None => format!("{name} is well again"),
                };
            }
        }
    }
}

/// The sources, and what is wrong with them.
fn said(config: &Config) -> Vec<(String, Option<String>)> {
    let sources = config.sources().into_iter();
    let told = sources.map(|source| (source.name, source.state.error().map(ToString::to_string)));
    told.collect()
}
