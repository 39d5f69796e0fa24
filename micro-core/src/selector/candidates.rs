//! The nodes for one call, one after the other.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{Blacklist, Candidate, Picker, Random, Strategy};
use crate::Text;

/// How often the strategy is asked before all nodes are walked.
const TRIES: usize = 8;

/// Nodes to choose from, with a strategy made ready for them. Made when nodes change, shared by all calls.
pub struct Pool {
    nodes: Box<[Arc<Candidate>]>,
    picker: Box<dyn Picker>,
    blacklist: Blacklist,
}

impl Pool {
    /// Prepares the strategy for these nodes.
    pub fn new(nodes: Vec<Arc<Candidate>>, strategy: &dyn Strategy, blacklist: Blacklist) -> Self {
        Self {
            picker: strategy.prepare(&nodes),
            nodes: nodes.into(),
            blacklist,
        }
    }

    /// All nodes.
    pub fn nodes(&self) -> &[Arc<Candidate>] {
        &self.nodes
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(&self.nodes).finish()
    }
}

/// The nodes for one call: [`next`](Self::next) for the first attempt and for each further one.
#[derive(Debug)]
pub struct Candidates {
    pool: Arc<Pool>,
    key: Option<Text>,
    tried: Tried,
}

impl Candidates {
    /// Candidates of a pool; `key` is for strategies that hash.
    pub fn new(pool: Arc<Pool>, key: Option<Text>) -> Self {
        Self {
            pool,
            key,
            tried: Tried::default(),
        }
    }

    /// Just these nodes, chosen at random: for addresses that the caller gave, and for selectors of your own.
    ///
    /// Keep a [`Pool`] instead where the same nodes are used for many calls.
    pub fn fixed(nodes: impl Into<Vec<Arc<Candidate>>>) -> Self {
        Self::new(
            Arc::new(Pool::new(nodes.into(), &Random, Blacklist::default())),
            None,
        )
    }

    /// How many nodes there are to choose from, failing ones included.
    pub fn len(&self) -> usize {
        self.pool.nodes.len()
    }

    /// All of them, failing ones included, in no order that means anything.
    pub fn nodes(&self) -> &[Arc<Candidate>] {
        &self.pool.nodes
    }

    /// How many calls are in flight to all of them.
    pub(crate) fn in_flight(&self) -> usize {
        let in_flight = |node: &Arc<Candidate>| node.in_flight() as usize;
        self.pool.nodes.iter().map(in_flight).sum()
    }

    /// Whether there is no node at all.
    pub fn is_empty(&self) -> bool {
        self.pool.nodes.is_empty()
    }

    /// The next node to try, as the strategy chooses; `None` only when there is no node at all.
    ///
    /// Nodes that were given before come again only after all others. Nodes that are out because they fail come
    /// only after the ones that are well; a call is never refused because all nodes are out. While another node is
    /// well, only a call's first node may be one whose time out is over.
    #[expect(
        clippy::should_implement_trait,
        reason = "it never ends, which an iterator's users do not expect"
    )]
    pub fn next(&mut self) -> Option<Arc<Candidate>> {
        let count = self.pool.nodes.len();
        if count == 0 {
            return None;
        }
        if self.tried.count >= count {
            self.tried = Tried::default();
        }
        let at = self.choose();
        self.tried.add(at);
        Some(self.pool.nodes[at].clone())
    }

    fn choose(&self) -> usize {
        let mut unwell = None;
        for attempt in 0..TRIES {
            let at = self.pick(attempt);
            if self.tried.has(at) {
                continue;
            }
            if self.suits(at) {
                return at;
            }
            unwell.get_or_insert(at);
        }
        let start = self.pick(TRIES);
        let untried = || self.walk(start).filter(|at| !self.tried.has(*at));
        // The last resort is a node that is out: the strategy's own choice, so that the calls spread.
        untried()
            .find(|at| self.suits(*at))
            .or_else(|| untried().find(|at| self.admits(*at)))
            .or(unwell)
            .or_else(|| untried().next())
            .unwrap_or(start)
    }

    fn pick(&self, attempt: usize) -> usize {
        let nodes = &self.pool.nodes;
        let at = self.pool.picker.pick(nodes, self.key.as_deref(), attempt);
        at.min(nodes.len() - 1)
    }

    /// Whether to go there. A call that failed once asks no node whether it is back while another is well: after many
    /// nodes died, their times out end together, and one call would meet them one after the other.
    fn suits(&self, at: usize) -> bool {
        if self.tried.count == 0 {
            self.admits(at)
        } else {
            self.pool.nodes[at].is_well()
        }
    }

    fn admits(&self, at: usize) -> bool {
        self.pool.nodes[at].admits(&self.pool.blacklist)
    }

    fn walk(&self, start: usize) -> impl Iterator<Item = usize> {
        (start..self.pool.nodes.len()).chain(0..start)
    }
}

/// Positions that were given already. Most calls need a few; who walks ten thousand nodes needs a set.
#[derive(Debug, Default)]
struct Tried {
    count: usize,
    few: SmallVec<[usize; FEW]>,
    /// One bit a position, once there are more than a few.
    bits: Vec<u64>,
}

const FEW: usize = 6;

impl Tried {
    fn has(&self, at: usize) -> bool {
        let set = self
            .bits
            .get(at / 64)
            .is_some_and(|word| word & (1 << (at % 64)) != 0);
        set || self.few.contains(&at)
    }

    fn add(&mut self, at: usize) {
        self.count += 1;
        if self.few.len() < FEW {
            self.few.push(at);
            return;
        }
        if self.bits.len() <= at / 64 {
            self.bits.resize(at / 64 + 1, 0);
        }
        self.bits[at / 64] |= 1 << (at % 64);
    }
}
