//! A service with its nodes, a client that is watched, and what came of a load.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use micro::client::CallOptions;
use micro::transport::HttpTransport;
use micro::transport::http::HttpConfig;
use micro::{Client, Plugins, Transport};
use micro_grpc::{GrpcConfig, GrpcTransport};

use crate::attempts::{Attempts, Picks, Watched};
use crate::fleet::{Ended, Fleet, Kind};
use crate::ledger::Runs;
use crate::load::{Load, Plan, Tally};
use crate::options::Carrier;
use crate::site::Site;

/// Nodes and a client for them.
pub(crate) struct Trial {
    pub(crate) fleet: Fleet,
    pub(crate) attempts: Arc<Attempts>,
    pub(crate) service: String,
    client: Client,
}

/// What came of a load.
pub(crate) struct Outcome {
    pub(crate) calls: u64,
    pub(crate) tally: Tally,
    /// `None` where nobody counted them.
    pub(crate) attempts: Option<u64>,
    pub(crate) runs: Runs,
    pub(crate) ended: Vec<Ended>,
    pub(crate) picks: HashMap<String, Picks>,
}

impl Trial {
    /// Starts the nodes, and a client that has not called yet.
    pub(crate) async fn start(site: Site, run: &str, nodes: u32, kind: Kind, selector: &str) -> Result<Self> {
        let service = unique(run);
        let attempts = Attempts::new();
        let fleet = Fleet::start(site.clone(), &service, nodes, kind).await?;
        let client = client(&site, &attempts, selector).await?;
        Ok(Self {
            fleet,
            attempts,
            service,
            client,
        })
    }

    /// Begins to call.
    pub(crate) fn load(&self, plan: Plan, idempotent: bool) -> Load {
        let client = self.client.with_options(CallOptions {
            idempotent,
            ..CallOptions::default()
        });
        Load::start(client, &self.service, plan)
    }

    /// What came of a load that has ended.
    pub(crate) fn outcome(&self, calls: u64, tally: Tally) -> Result<Outcome> {
        Ok(Outcome {
            calls,
            tally,
            attempts: Some(self.attempts.total()),
            runs: Runs::read(self.fleet.ledgers(), calls)?,
            ended: self.fleet.ended().to_vec(),
            picks: self.attempts.picks(),
        })
    }
}

/// A name that no other run has, so that runs may go side by side.
pub(crate) fn unique(run: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("chaos-{run}-{}-{:x}", std::process::id(), now.as_millis())
}

/// The default client, but for the selector and for the transport, which notes each attempt.
async fn client(site: &Site, attempts: &Arc<Attempts>, selector: &str) -> Result<Client> {
    let (attempts, carrier) = (attempts.clone(), site.carrier());
    let plugins = Plugins::builtin().transport(carrier.name(), move |_| {
        let attempts = attempts.clone();
        async move {
            let inner: Arc<dyn Transport> = match carrier {
                Carrier::Http => Arc::new(HttpTransport::new(HttpConfig::default())?),
                Carrier::Grpc => Arc::new(GrpcTransport::new(GrpcConfig::default())?),
            };
            Ok(Arc::new(Watched { inner, attempts }) as _)
        }
    });
    let settings = site.settings("chaos-client", &["--selector", selector], plugins)?;
    let client = settings.client().await.context("there is no client")?;
    Ok(client.build())
}

impl Outcome {
    /// How the nodes that were ended were picked after that.
    pub(crate) fn dead(&self) -> Dead {
        let mut dead = Dead::default();
        for ended in &self.ended {
            if let Some(picks) = self.picks.get(&ended.id) {
                dead.add(ended, picks);
            }
        }
        dead
    }
}

/// How nodes that were ended were still picked: all of them together.
#[derive(Debug, Default)]
pub(crate) struct Dead {
    /// From the signal to the last attempt, but for those that ask: the longest of all nodes.
    pub(crate) picked_for: Option<Duration>,
    /// How many were found gone by an attempt.
    pub(crate) lost: u64,
    /// From the end of that attempt to the last one, but for those that ask: the longest of all nodes.
    pub(crate) picked_although_lost: Duration,
    /// Attempts later than [`SETTLED`](Self::SETTLED) after that: each asks whether the node is back.
    pub(crate) asked: u64,
    /// Those of them that came sooner than that after another one.
    pub(crate) crowded: u64,
}

impl Dead {
    /// How long a node may still be picked, and how far apart attempts must be that ask for it.
    pub(crate) const SETTLED: Duration = Duration::from_millis(100);

    /// By so much the client may count that time shorter, since it counts milliseconds.
    const TICK: Duration = Duration::from_millis(5);

    fn add(&mut self, ended: &Ended, picks: &Picks) {
        let settled = Self::SETTLED.saturating_sub(Self::TICK);
        let Some(lost) = picks.lost else {
            let picked_for = picks.last.map(|last| last.saturating_sub(ended.signalled));
            self.picked_for = self.picked_for.max(picked_for);
            return;
        };
        let since = |at: &Duration| at.saturating_sub(lost);
        let (at_once, asked): (Vec<_>, Vec<_>) =
            picks.after.iter().map(since).partition(|time| *time < settled);
        let although = at_once.into_iter().max().unwrap_or_default();
        let picked_for = (lost + although).saturating_sub(ended.signalled);
        self.picked_for = self.picked_for.max(Some(picked_for));
        self.lost += 1;
        self.picked_although_lost = self.picked_although_lost.max(although);
        self.asked += asked.len() as u64;
        let too_soon = |pair: &&[Duration]| pair[1].saturating_sub(pair[0]) < settled;
        self.crowded += asked.windows(2).filter(too_soon).count() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_at_a_dead_node_are_told_apart() {
        let millis = Duration::from_millis;
        let ended = Ended {
            id: "a".into(),
            signalled: millis(1000),
            gone: millis(1001),
            well: true,
        };
        let picks = Picks {
            first: Some(millis(1)),
            last: Some(millis(1400)),
            lost: Some(millis(1002)),
            after: [1003, 1004, 1110, 1310, 1400].map(millis).to_vec(),
            failed: Vec::new(),
        };
        let mut dead = Dead::default();
        dead.add(&ended, &picks);
        assert_eq!(dead.picked_for, Some(millis(4)));
        assert_eq!(dead.picked_although_lost, millis(2));
        assert_eq!((dead.lost, dead.asked, dead.crowded), (1, 3, 1));
    }

    #[test]
    fn a_node_that_is_left_before_it_stops_loses_no_attempt() {
        let millis = Duration::from_millis;
        let ended = Ended {
            id: "a".into(),
            signalled: millis(1000),
            gone: millis(1500),
            well: true,
        };
        let picks = Picks {
            last: Some(millis(1003)),
            ..Picks::default()
        };
        let mut dead = Dead::default();
        dead.add(&ended, &picks);
        assert_eq!((dead.picked_for, dead.lost), (Some(millis(3)), 0));
    }
}
