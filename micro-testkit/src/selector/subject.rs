//! The selector that a case tests, over a registry that the case fills.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use micro_core::registry::{MemoryRegistry, Node, ServiceRecord};
use micro_core::selector::{Candidate, Candidates, Criteria, Selector};
use micro_core::{ErrorKind, Registry, Result};
use tokio::time::{Instant, sleep};

use super::SelectorTraits;
use crate::suite::{Ending, Failure, Outcome, Subject};

/// The service that cases choose nodes of.
pub(super) const SERVICE: &str = "greeter";
/// How long it may take, by the paused clock, until nodes that changed are seen.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

/// The selector that a case tests, and the registry under it.
#[derive(Clone)]
pub struct SelectorSubject {
    pub(super) selector: Arc<dyn Selector>,
    pub(super) registry: MemoryRegistry,
    pub(super) traits: Arc<SelectorTraits>,
}

impl Subject for SelectorSubject {
    const PAUSED: bool = true;
}

/// A record of version 1 with nodes of these ids.
pub(super) fn record<'a>(ids: impl IntoIterator<Item = &'a str>) -> ServiceRecord {
    let nodes = ids.into_iter().enumerate();
    let nodes = nodes
        .map(|(at, id)| Node::new(id, format!("127.0.0.1:{}", 1000 + at)))
        .collect();
    ServiceRecord::new(SERVICE, "1").with_nodes(nodes)
}

impl SelectorSubject {
    pub(super) async fn register(&self, record: &ServiceRecord) -> Result<()> {
        self.registry.register(record, Default::default()).await
    }

    pub(super) async fn select(&self) -> Result<Candidates> {
        self.selector.select(SERVICE, &Criteria::default()).await
    }

    /// The node that a call would go to.
    pub(super) async fn choose(&self) -> std::result::Result<Arc<Candidate>, Ending> {
        let first = self.select().await?.next();
        first.ok_or_else(|| Ending::failed("there are candidates but none is next"))
    }

    /// The ids of all nodes that the criteria leave; none when there is no service.
    pub(super) async fn ids(&self, criteria: &Criteria) -> Result<BTreeSet<String>> {
        match self.selector.select(SERVICE, criteria).await {
            Ok(mut candidates) => {
                let nodes = (0..candidates.len()).map_while(|_| candidates.next());
                Ok(nodes.map(|node| node.id().to_string()).collect())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        }
    }

    /// Waits until just the nodes of these ids are chosen from.
    #[track_caller]
    pub(super) fn until_nodes<'a>(&'a self, ids: &'a [&'a str]) -> impl Future<Output = Outcome> + 'a {
        let late = Failure::new(format!("it never chose from just the nodes {ids:?}"));
        async move {
            let until = Instant::now() + SEEN_WITHIN;
            loop {
                let found = self.ids(&Criteria::default()).await?;
                if found.iter().map(String::as_str).eq(ids.iter().copied()) {
                    return Ok(());
                }
                if Instant::now() >= until {
                    return Err(late.but(&format!("but from {found:?}")).into());
                }
                sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// The ids that this many calls go to first.
    pub(super) async fn first_choices(&self, calls: usize) -> std::result::Result<BTreeSet<String>, Ending> {
        let mut chosen = BTreeSet::new();
        for _ in 0..calls {
            chosen.insert(self.choose().await?.id().to_string());
        }
        Ok(chosen)
    }
}
