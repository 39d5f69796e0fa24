//! The nodes of one snapshot as candidates, whole and filtered.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::SelectorOptions;
use crate::registry::{Node, ServiceRecord, Snapshot};
use crate::selector::{Blacklist, Candidate, Filters, Pool, Strategy};

/// The nodes of one snapshot as candidates, whole and filtered. It is replaced when the nodes change.
pub(super) struct View {
    snapshot: Snapshot,
    /// In the order of the snapshot's nodes.
    all: Arc<Pool>,
    /// Oldest first. Few enough to be walked.
    filtered: ArcSwap<Vec<(Filters, Arc<Pool>)>>,
}

impl View {
    pub(super) fn empty(strategy: &dyn Strategy) -> Self {
        let all = Arc::new(Pool::new(Vec::new(), strategy, Blacklist::default()));
        Self::of(Snapshot::empty(), all)
    }

    /// The view of a snapshot, with the candidates of the view before it wherever a node is still the same.
    pub(super) fn new(
        snapshot: &Snapshot,
        before: &Self,
        strategy: &dyn Strategy,
        options: &SelectorOptions,
    ) -> Self {
        let nodes = before.carried_over(snapshot);
        let all = Arc::new(Pool::new(nodes, strategy, options.blacklist));
        Self::of(snapshot.clone(), all)
    }

    fn of(snapshot: Snapshot, all: Arc<Pool>) -> Self {
        Self {
            snapshot,
            all,
            filtered: ArcSwap::default(),
        }
    }

    /// The snapshot's; 0 before the first one.
    pub(super) fn generation(&self) -> u64 {
        self.snapshot.generation()
    }

    /// The candidates for another snapshot. Both are sorted, so they are walked side by side; what did not change
    /// is told by its pointer, without a look at the node.
    fn carried_over(&self, snapshot: &Snapshot) -> Vec<Arc<Candidate>> {
        let mut known = self.snapshot.nodes().zip(self.all.nodes()).peekable();
        let candidate = |(version, node): (&ServiceRecord, &Arc<Node>)| {
            let same = |old: &Arc<Node>| Arc::ptr_eq(old, node);
            while let Some(_gone) = known
                .next_if(|((of, old), _)| !same(old) && (&of.version, &old.id) < (&version.version, &node.id))
            {
            }
            let still = known.next_if(|((of, old), _)| {
                let identity = (&of.version, &old.id, &old.address);
                same(old) || identity == (&version.version, &node.id, &node.address)
            });
            let Some(((_, old), candidate)) = still else {
                return Arc::new(Candidate::new(node.clone(), &version.version));
            };
            if !same(old) {
                candidate.set_node(node.clone());
            }
            candidate.clone()
        };
        snapshot.nodes().map(candidate).collect()
    }

    /// Whether it stands for a snapshot, be it an old one.
    pub(super) fn is_usable(&self) -> bool {
        self.generation() != 0
    }

    /// All nodes.
    pub(super) fn all(&self) -> &Arc<Pool> {
        &self.all
    }

    /// The nodes that pass, filtered once for each list of filters.
    pub(super) fn pool(
        &self,
        filters: &Filters,
        strategy: &dyn Strategy,
        options: &SelectorOptions,
    ) -> Arc<Pool> {
        if filters.is_empty() {
            return self.all.clone();
        }
        let filtered = self.filtered.load();
        if let Some((_, pool)) = filtered.iter().find(|(known, _)| known == filters) {
            return pool.clone();
        }
        let pool = Arc::new(Pool::new(self.passing(filters), strategy, options.blacklist));
        self.filtered.rcu(|filtered| {
            let surplus = (filtered.len() + 1).saturating_sub(options.max_views.max(1));
            let kept = filtered.iter().skip(surplus).cloned();
            kept.chain([(filters.clone(), pool.clone())]).collect::<Vec<_>>()
        });
        pool
    }

    fn passing(&self, filters: &Filters) -> Vec<Arc<Candidate>> {
        let both = self.snapshot.nodes().zip(self.all.nodes());
        both.filter(|((record, node), _)| filters.keep(record, node))
            .map(|(_, candidate)| candidate.clone())
            .collect()
    }
}
