//! Which node next: candidates by service, filter and strategy, and what is known of their health.

mod cached;
mod candidate;
mod candidates;
mod changes;
mod filter;
mod hash;
mod health;
mod latency;
mod p2c;
mod random;
mod round_robin;
mod strategy;

use std::time::Duration;

use async_trait::async_trait;

use crate::{Result, Text};

pub use self::cached::{CachedSelector, SelectorOptions};
pub use self::candidate::{Candidate, InFlight, Peer};
pub use self::candidates::{Candidates, Pool};
pub use self::changes::{NodeChange, NodeChanges};
pub use self::filter::{Filter, Filters};
pub use self::hash::ConsistentHash;
pub use self::health::Blacklist;
pub use self::p2c::PowerOfTwoChoices;
pub use self::random::Random;
pub use self::round_robin::RoundRobin;
pub use self::strategy::{Picker, Strategy};

/// Which node next.
///
/// # Contract
///
/// - A selector never blocks a thread: it waits, where it must, in [`select`](Selector::select).
/// - While a node is registered, it is the same [`Candidate`] in every answer, so that what is known of it (calls
///   in flight, latency, failures, the peer that was dialled) is shared by all callers and goes with the node.
/// - All methods may be called at any time from any task; `select` may be cancelled by dropping its future.
#[async_trait]
pub trait Selector: Send + Sync + 'static {
    /// The name by which flags choose this selector, such as `random`.
    fn name(&self) -> &str;

    /// The nodes that may take a call, in the order in which they should be tried.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) when no node of the service is known,
    /// [`Unavailable`](crate::ErrorKind::Unavailable) when the filters leave none, and the registry's own error
    /// when it cannot be asked and nothing is known from before.
    async fn select(&self, service: &str, criteria: &Criteria) -> Result<Candidates>;

    /// The same where the answer is at hand, without a future. `None`: ask [`select`](Selector::select).
    ///
    /// This is the way for the path of a call, where a boxed future would cost more than the choice. The default
    /// gives `None`.
    fn select_now(&self, service: &str, criteria: &Criteria) -> Option<Candidates> {
        let _ = (service, criteria);
        None
    }

    /// Tells how a call to a candidate went, so that the next choice knows.
    fn mark(&self, service: &str, candidate: &Candidate, outcome: Outcome);

    /// Forgets every mark of a service.
    fn reset(&self, service: &str);
}

/// What a call asks of its node.
#[derive(Debug, Clone, Default)]
pub struct Criteria {
    /// Nodes that do not pass are left out. Default: none, every node passes.
    pub filters: Filters,
    /// Calls with equal keys go to the same node, if the strategy is one that hashes. Default: none.
    pub key: Option<Text>,
}

/// How a call to a node went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The node answered, were it with an error of the application.
    Success {
        /// From sending the request to the answer.
        latency: Duration,
    },
    /// The node could not be reached: it is left out at once.
    Unreachable,
    /// The connection broke, the time was up, or the node is in trouble: it is left out after several in a row.
    Failed,
    /// Says nothing about the node, such as a call that its caller dropped.
    Ignored,
}
