//! The nodes of a service as they come and go, for balancers of others.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use futures_util::stream;
use tokio::time::sleep;

use super::{Candidate, Criteria, Selector};
use crate::{ErrorKind, Result, Text};

/// How often it is looked what changed: short beside the notice that a leaving node gives.
const INTERVAL: Duration = Duration::from_millis(50);

/// One thing that happened to the nodes that may be called.
#[derive(Debug, Clone)]
pub enum NodeChange {
    /// The node may be called from now on.
    Insert(Arc<Candidate>),
    /// The node shall not be called any more: it left, or it fails.
    Remove(Arc<Candidate>),
}

/// The nodes of a service that a [`Selector`] knows and takes for healthy, as they come and go: for balancers that are
/// none of ours, such as that of a channel of another library.
///
/// First come the nodes that are there, each as an insertion. A node that leaves the registry is removed within 50 ms,
/// well within the notice for which it serves on. A node that fails is removed as long as the selector leaves it
/// out, and only while another one is well; the selector knows of it by the calls of clients that share it, and by
/// [`Selector::mark`]. A node whose address changes is removed, then inserted. While the registry is away, nodes stay.
///
/// It asks the selector while it is read. Dropping it ends that.
///
/// ```
/// use micro_core::Client;
/// use micro_core::selector::{Criteria, NodeChange, NodeChanges};
///
/// async fn follow(client: &Client) {
///     let mut changes = NodeChanges::new(client.selector().clone(), "greeter", Criteria::default());
///     loop {
///         match changes.next().await {
///             NodeChange::Insert(node) => println!("{} is at {}", node.id(), node.address()),
///             NodeChange::Remove(node) => println!("{} is gone", node.id()),
///         }
///     }
/// }
/// ```
pub struct NodeChanges(Pin<Box<dyn Stream<Item = NodeChange> + Send>>);

impl NodeChanges {
    /// Follows the nodes of a service that meet the criteria.
    ///
    /// Filters are for what a balancer of others cannot know, such as
    /// [`Filter::transport`](super::Filter::transport). A key has no meaning here.
    pub fn new(selector: Arc<dyn Selector>, service: impl Into<Text>, criteria: Criteria) -> Self {
        let following = Following {
            selector,
            service: service.into(),
            criteria,
            inserted: Vec::new(),
            pending: VecDeque::new(),
        };
        Self(Box::pin(stream::unfold(following, |mut following| async {
            let change = following.next().await;
            Some((change, following))
        })))
    }

    /// Waits for the next change. May be cancelled; nothing is lost then.
    pub async fn next(&mut self) -> NodeChange {
        match std::future::poll_fn(|context| self.0.as_mut().poll_next(context)).await {
            Some(change) => change,
            // The stream has no end.
            None => std::future::pending().await,
        }
    }
}

impl Stream for NodeChanges {
    type Item = NodeChange;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl fmt::Debug for NodeChanges {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("NodeChanges")
    }
}

struct Following {
    selector: Arc<dyn Selector>,
    service: Text,
    criteria: Criteria,
    inserted: Vec<Arc<Candidate>>,
    pending: VecDeque<NodeChange>,
}

impl Following {
    async fn next(&mut self) -> NodeChange {
        loop {
            if let Some(change) = self.pending.pop_front() {
                return change;
            }
            match self.healthy().await {
                Ok(nodes) => self.compare(nodes),
                Err(error) => tracing::trace!(%error, service = %self.service, "its nodes stay as they were"),
            }
            if self.pending.is_empty() {
                sleep(INTERVAL).await;
            }
        }
    }

    /// Those that may be called: all where all are out, since a call is never refused for that.
    async fn healthy(&self) -> Result<Vec<Arc<Candidate>>> {
        let candidates = match self.selector.select_now(&self.service, &self.criteria) {
            Some(candidates) => candidates,
            None => match self.selector.select(&self.service, &self.criteria).await {
                Ok(candidates) => candidates,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            },
        };
        let nodes = candidates.nodes();
        let healthy: Vec<_> = nodes.iter().filter(|node| !node.is_out()).cloned().collect();
        Ok(match healthy.is_empty() {
            true => nodes.to_vec(),
            false => healthy,
        })
    }

    fn compare(&mut self, nodes: Vec<Arc<Candidate>>) {
        let pairs = || self.inserted.iter().zip(&nodes);
        if self.inserted.len() == nodes.len() && pairs().all(|(one, other)| Arc::ptr_eq(one, other)) {
            return;
        }
        let identities = |nodes: &[Arc<Candidate>]| nodes.iter().map(Arc::as_ptr).collect::<HashSet<_>>();
        let (before, now) = (identities(&self.inserted), identities(&nodes));
        let gone = self
            .inserted
            .iter()
            .filter(|node| !now.contains(&Arc::as_ptr(node)));
        self.pending.extend(gone.cloned().map(NodeChange::Remove));
        let new = nodes.iter().filter(|node| !before.contains(&Arc::as_ptr(node)));
        self.pending.extend(new.cloned().map(NodeChange::Insert));
        self.inserted = nodes;
    }
}
