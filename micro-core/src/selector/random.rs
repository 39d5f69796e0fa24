//! Any node, each as likely as the others.

use std::sync::Arc;

use super::{Candidate, Picker, Strategy};

/// Any node, each as likely as the others. The default, as in Go Micro.
#[derive(Debug, Clone, Copy, Default)]
pub struct Random;

impl Strategy for Random {
    fn name(&self) -> &str {
        "random"
    }

    fn prepare(&self, _: &[Arc<Candidate>]) -> Box<dyn Picker> {
        Box::new(Self)
    }
}

impl Picker for Random {
    fn pick(&self, nodes: &[Arc<Candidate>], _: Option<&str>, _: usize) -> usize {
        fastrand::usize(..nodes.len())
    }
}
