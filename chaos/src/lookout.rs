//! Looks into the registry itself, past all caches: who is there, and when.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use micro::{ErrorKind, Plugins, Registry, Settings};
use tokio::time::{sleep, timeout};

use crate::attempts::Attempts;
use crate::site::Site;

/// How often to look.
const PAUSE: Duration = Duration::from_millis(20);
/// How long one look may take.
const LOOK: Duration = Duration::from_secs(2);

/// One who looks for the nodes of a service. Times are on the clock of the attempts.
pub(crate) struct Lookout<'a> {
    settings: Settings,
    service: &'a str,
    clock: &'a Attempts,
    /// A connection of its own. None: a new one is to be made.
    registry: Option<Arc<dyn Registry>>,
}

impl<'a> Lookout<'a> {
    pub(crate) fn new(site: &Site, service: &'a str, clock: &'a Attempts) -> Result<Self> {
        Ok(Self {
            settings: site.settings("chaos-lookout", &[], Plugins::builtin())?,
            service,
            clock,
            registry: None,
        })
    }

    /// When each of these nodes was first seen, as far as they came until that time.
    pub(crate) async fn arrivals(&mut self, nodes: &[String], until: Duration) -> HashMap<String, Duration> {
        let mut seen = HashMap::new();
        loop {
            let there = self.look().await.unwrap_or_default();
            let now = self.clock.now();
            for node in nodes.iter().filter(|node| there.contains(*node)) {
                seen.entry(node.clone()).or_insert(now);
            }
            if seen.len() == nodes.len() || now > until {
                return seen;
            }
            sleep(PAUSE).await;
        }
    }

    /// When a node was first seen to be gone, if it was until that time.
    pub(crate) async fn departure(&mut self, node: &str, until: Duration) -> Option<Duration> {
        loop {
            let there = self.look().await;
            let now = self.clock.now();
            match there {
                Ok(there) if !there.contains(node) => return Some(now),
                _ if now > until => return None,
                _ => sleep(PAUSE).await,
            }
        }
    }

    /// The ids of all nodes that are there now.
    async fn look(&mut self) -> Result<BTreeSet<String>> {
        let registry = self.registry.take();
        let look = async {
            let registry = match registry {
                Some(registry) => registry,
                None => self.settings.connect_registry().await?,
            };
            let found = match registry.get_service(self.service).await {
                Ok(found) => found,
                Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(error),
            };
            Ok((registry, found))
        };
        let (registry, found) = timeout(LOOK, look).await.context("the registry is silent")??;
        self.registry = Some(registry);
        let nodes = found.into_iter().flat_map(|record| record.nodes);
        Ok(nodes.map(|node| node.id).collect())
    }
}
