//! The better of two nodes drawn at random.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Candidate, Picker, Strategy};

/// Of two nodes drawn at random, the one where a call should be answered sooner: by calls in flight and latency.
///
/// It keeps clear of slow and loaded nodes, and yet never sends everybody to the one best node.
#[derive(Debug, Clone, Copy, Default)]
pub struct PowerOfTwoChoices;

impl Strategy for PowerOfTwoChoices {
    fn name(&self) -> &str {
        "p2c"
    }

    fn prepare(&self, _: &[Arc<Candidate>]) -> Box<dyn Picker> {
        Box::new(Self)
    }
}

impl Picker for PowerOfTwoChoices {
    fn pick(&self, nodes: &[Arc<Candidate>], _: Option<&str>, _: usize) -> usize {
        let count = nodes.len();
        if count == 1 {
            return 0;
        }
        let one = fastrand::usize(..count);
        let other = (one + 1 + fastrand::usize(..count - 1)) % count;
        if is_better(&nodes[other], &nodes[one]) {
            other
        } else {
            one
        }
    }
}

fn is_better(node: &Candidate, than: &Candidate) -> bool {
    // A node whose time out is over competes like any other, or it would never be tried again. In good health no
    // clock is read for it.
    if !(node.is_well() && than.is_well()) && node.is_out() != than.is_out() {
        return than.is_out();
    }
    let now = Instant::now();
    let load = |node: &Candidate| node.in_flight() as f32 + 1.0;
    // A node that was never measured would seem the fastest of all: then the load alone decides.
    match (node.latency_micros(now), than.latency_micros(now)) {
        (Some(latency), Some(other)) => load(node) * latency < load(than) * other,
        _ => load(node) < load(than),
    }
}
