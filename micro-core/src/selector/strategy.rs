//! What a strategy is: made ready once for a list of nodes, then asked at every call.

use std::sync::Arc;

use super::{Candidate, ConsistentHash, PowerOfTwoChoices, Random, RoundRobin};

/// A way to choose among nodes.
pub trait Strategy: Send + Sync + 'static {
    /// The name by which flags choose it, such as `random`.
    fn name(&self) -> &str;

    /// Makes ready for a list of nodes. Runs whenever the nodes changed, not at calls, and may take time in
    /// proportion to their number.
    fn prepare(&self, nodes: &[Arc<Candidate>]) -> Box<dyn Picker>;
}

/// A [`Strategy`] made ready for one list of nodes.
pub trait Picker: Send + Sync {
    /// The position of the node that a call should go to. Runs at every call: it should neither allocate nor
    /// walk the nodes.
    ///
    /// `nodes` is the list that was prepared; it is never empty. `attempt` counts from 0 the picks of one call
    /// that could not be used, because the node is out or was tried already: another attempt should give another
    /// node, though it need not. A position past the end counts as the last.
    fn pick(&self, nodes: &[Arc<Candidate>], key: Option<&str>, attempt: usize) -> usize;
}

impl dyn Strategy {
    /// The strategy of that name: `random`, `roundrobin` or `round_robin`, `p2c`, `hash`.
    pub fn named(name: &str) -> Option<Arc<dyn Strategy>> {
        Some(match name {
            "random" => Arc::new(Random),
            "roundrobin" | "round_robin" => Arc::new(RoundRobin),
            "p2c" => Arc::new(PowerOfTwoChoices),
            "hash" => Arc::new(ConsistentHash),
            _ => return None,
        })
    }
}
