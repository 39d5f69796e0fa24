//! One node after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Candidate, Picker, Strategy};

/// One node after the other, for all callers together, beginning anywhere.
///
/// The beginning is drawn anew when the nodes change, so that many processes do not walk in step.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoundRobin;

impl Strategy for RoundRobin {
    fn name(&self) -> &str {
        "roundrobin"
    }

    fn prepare(&self, nodes: &[Arc<Candidate>]) -> Box<dyn Picker> {
        Box::new(Turn(AtomicUsize::new(fastrand::usize(..nodes.len().max(1)))))
    }
}

struct Turn(AtomicUsize);

impl Picker for Turn {
    fn pick(&self, nodes: &[Arc<Candidate>], _: Option<&str>, _: usize) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed) % nodes.len()
    }
}
