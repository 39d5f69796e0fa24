//! One node, and what this process knows of it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::time::Instant;

use super::Outcome;
use super::health::{Blacklist, Health};
use super::latency::Latency;
use crate::Text;
use crate::registry::Node;

/// What a client keeps with a node, such as the handler that it dialled.
pub type Peer = Arc<dyn Any + Send + Sync>;

/// One node of a service, and what this process knows of it: calls in flight, latency, failures, dialled peers.
///
/// It is shared as `Arc<Candidate>` by everything that calls the node, stays the same while the node (its id,
/// address and version) is registered, and is dropped after the node has left and the last call is over.
pub struct Candidate {
    id: Text,
    address: Text,
    version: Text,
    node: ArcSwap<Node>,
    made: Instant,
    in_flight: AtomicU32,
    latency: Latency,
    health: Health,
    peers: ArcSwapOption<Vec<(u64, Peer)>>,
}

impl Candidate {
    /// A node of which nothing is known yet. `version` is that of its service.
    pub fn new(node: impl Into<Arc<Node>>, version: impl Into<Text>) -> Self {
        let node = node.into();
        Self {
            id: Text::from(&node.id),
            address: Text::from(&node.address),
            version: version.into(),
            node: ArcSwap::new(node),
            made: Instant::now(),
            in_flight: AtomicU32::new(0),
            latency: Latency::default(),
            health: Health::default(),
            peers: ArcSwapOption::empty(),
        }
    }

    /// The node's id.
    pub fn id(&self) -> &Text {
        &self.id
    }

    /// The node's address, as its transport takes it.
    pub fn address(&self) -> &Text {
        &self.address
    }

    /// The version of the service that the node runs.
    pub fn version(&self) -> &Text {
        &self.version
    }

    /// The node's record as it is now; its metadata may have changed since the last time.
    pub fn node(&self) -> Arc<Node> {
        self.node.load_full()
    }

    pub(super) fn set_node(&self, node: Arc<Node>) {
        self.node.store(node);
    }

    /// Counts a call as in flight until the guard is dropped.
    pub fn start(self: &Arc<Self>) -> InFlight {
        InFlight::new(self.clone())
    }

    /// How many calls are in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The latency to expect: a decaying average that follows peaks at once. `None`: never measured.
    pub fn latency(&self) -> Option<Duration> {
        let micros = self.latency_micros(Instant::now())?;
        Some(Duration::from_secs_f32(micros / 1e6))
    }

    pub(super) fn latency_micros(&self, now: Instant) -> Option<f32> {
        self.latency.micros(self.millis(now))
    }

    /// Whether the node is left out now because it failed.
    pub fn is_out(&self) -> bool {
        self.health
            .out_until()
            .is_some_and(|until| self.millis(Instant::now()) < until)
    }

    /// Whether nothing is held against the node. Cheaper than [`is_out`](Self::is_out): it needs no clock.
    pub fn is_well(&self) -> bool {
        self.health.is_well()
    }

    /// Whether a call may go there now. It is a question to be asked once a call: when the time out of a failing
    /// node is over, one caller hears yes.
    pub fn admits(&self, limits: &Blacklist) -> bool {
        // In good health no clock is read.
        self.is_well() || self.health.admits(self.millis(Instant::now()), limits)
    }

    /// Notes how a call went.
    pub fn mark(&self, outcome: Outcome, limits: &Blacklist) {
        let now = || self.millis(Instant::now());
        match outcome {
            Outcome::Success { latency } => {
                self.health.succeeded();
                self.latency.observe(now(), latency);
            }
            Outcome::Unreachable => self.health.unreachable(now(), limits),
            Outcome::Failed => self.health.failed(now(), limits),
            Outcome::Ignored => {}
        }
    }

    /// Forgets failures; latency and calls in flight stay.
    pub fn reset(&self) {
        self.health.succeeded();
    }

    /// What an owner, such as a client, has put here. Takes no lock.
    pub fn peer(&self, owner: u64) -> Option<Peer> {
        let peers = self.peers.load();
        let peers = peers.as_ref()?.iter();
        peers
            .filter(|(of, _)| *of == owner)
            .map(|(_, peer)| peer.clone())
            .next()
    }

    /// Keeps something for an owner, unless something is kept for it already. Returns what is kept.
    pub fn keep_peer(&self, owner: u64, peer: Peer) -> Peer {
        let of_owner = |peers: &Vec<(u64, Peer)>| {
            peers
                .iter()
                .find(|(of, _)| *of == owner)
                .map(|(_, peer)| peer.clone())
        };
        let before = self.peers.rcu(|peers| match peers {
            Some(peers) if of_owner(peers).is_some() => Some(peers.clone()),
            _ => {
                let others = peers.iter().flat_map(|peers| peers.iter()).cloned();
                Some(Arc::new(others.chain([(owner, peer.clone())]).collect()))
            }
        });
        before.as_deref().and_then(of_owner).unwrap_or(peer)
    }

    /// Keeps something for an owner, in place of what it kept before.
    pub fn set_peer(&self, owner: u64, peer: Peer) {
        self.change_peers(owner, Some(peer));
    }

    /// Drops what is kept for an owner.
    pub fn remove_peer(&self, owner: u64) {
        self.change_peers(owner, None);
    }

    fn change_peers(&self, owner: u64, peer: Option<Peer>) {
        self.peers.rcu(|peers| {
            let others = peers.iter().flat_map(|peers| peers.iter());
            let mut kept: Vec<_> = others.filter(|(of, _)| *of != owner).cloned().collect();
            kept.extend(peer.clone().map(|peer| (owner, peer)));
            (!kept.is_empty()).then(|| Arc::new(kept))
        });
    }

    // Since its own beginning and not the process's: tests with clocks of their own stay apart.
    fn millis(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.made).as_millis() as u64
    }
}

impl fmt::Debug for Candidate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Candidate")
            .field("id", &self.id)
            .field("address", &self.address)
            .field("version", &self.version)
            .field("in_flight", &self.in_flight())
            .field("latency", &self.latency())
            .field("is_out", &self.is_out())
            .finish_non_exhaustive()
    }
}

/// A call in flight to a candidate; dropping it ends the count. Keep it until the answer's body has ended.
#[derive(Debug)]
#[must_use = "the call counts as in flight only while this lives"]
pub struct InFlight(Arc<Candidate>);

impl InFlight {
    pub(crate) fn new(candidate: Arc<Candidate>) -> Self {
        candidate.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(candidate)
    }

    /// The candidate that the call goes to.
    pub fn candidate(&self) -> &Arc<Candidate> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_owner_keeps_its_own_peer() {
        let candidate = Candidate::new(Node::new("a", "127.0.0.1:1"), "latest");
        let (one, two): (Peer, Peer) = (Arc::new(1_u8), Arc::new("two"));
        candidate.set_peer(1, Arc::new(0_u8));
        candidate.set_peer(1, one.clone());
        candidate.set_peer(2, two.clone());
        assert!(Arc::ptr_eq(&candidate.peer(1).unwrap(), &one));
        assert!(Arc::ptr_eq(&candidate.peer(2).unwrap(), &two));
        assert!(
            Arc::ptr_eq(&candidate.keep_peer(1, Arc::new(3_u8)), &one),
            "the first stays"
        );
        candidate.remove_peer(1);
        assert!(candidate.peer(1).is_none() && candidate.peer(2).is_some());
        drop(candidate);
        assert_eq!(Arc::strong_count(&two), 1, "a peer goes with its node");
    }

    #[test]
    fn calls_in_flight_are_counted_while_their_guards_live() {
        let candidate = Arc::new(Candidate::new(Node::new("a", "127.0.0.1:1"), "latest"));
        let (first, second) = (candidate.start(), candidate.start());
        assert_eq!(first.candidate().in_flight(), 2);
        drop((first, second));
        assert_eq!(candidate.in_flight(), 0);
    }
}
