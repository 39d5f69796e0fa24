//! The nodes of one snapshot as candidates, whole and filtered.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::SelectorOptions;
use crate::registry::{ServiceRecord, Snapshot};
use crate::selector::{Blacklist, Candidate, Filters, Pool, Strategy};

/// The nodes of one snapshot as candidates, whole and filtered. It is replaced when the nodes change.
pub(super) struct View {
    /// Of the snapshot; 0 before the first one.
    pub(super) generation: u64,
    all: Arc<Pool>,
    records: Arc<Vec<ServiceRecord>>,
    /// Oldest first. Few enough to be walked.
    filtered: ArcSwap<Vec<(Filters, Arc<Pool>)>>,
}

impl View {
    pub(super) fn empty(strategy: &dyn Strategy) -> Self {
        Self {
            generation: 0,
            all: Arc::new(Pool::new(Vec::new(), strategy, Blacklist::default())),
            records: Arc::default(),
            filtered: ArcSwap::default(),
        }
    }

    /// The view of a snapshot, with the candidates of the view before it wherever a node is still the same.
    pub(super) fn new(
        snapshot: &Snapshot,
        before: &Self,
        strategy: &dyn Strategy,
        options: &SelectorOptions,
    ) -> Self {
        let known: HashMap<Identity<'_>, &Arc<Candidate>> = before
            .all
            .nodes()
            .iter()
            .map(|known| ((&**known.version(), &**known.id(), &**known.address()), known))
            .collect();
        let mut nodes = Vec::new();
        for record in snapshot.records.iter() {
            for node in &record.nodes {
                let identity = (record.version.as_str(), node.id.as_str(), node.address.as_str());
                nodes.push(match known.get(&identity) {
                    Some(known) => {
                        known.set_node(node);
                        Arc::clone(known)
                    }
                    None => Arc::new(Candidate::new(node.clone(), &record.version)),
                });
            }
        }
        Self {
            generation: snapshot.generation,
            all: Arc::new(Pool::new(nodes, strategy, options.blacklist)),
            records: snapshot.records.clone(),
            filtered: ArcSwap::default(),
        }
    }

    /// The same nodes, of no snapshot: to be renewed at the first use.
    pub(super) fn outdated(&self) -> Self {
        Self {
            generation: 0,
            all: self.all.clone(),
            records: self.records.clone(),
            filtered: ArcSwap::default(),
        }
    }

    /// Whether it stands for a snapshot, be it an old one.
    pub(super) fn is_usable(&self) -> bool {
        self.generation != 0
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
        let records = self.records.iter();
        let nodes = records.flat_map(|record| record.nodes.iter().map(move |node| (record, node)));
        // Candidates were made in the order of the records.
        let both = nodes.zip(self.all.nodes());
        both.filter(|((record, node), _)| filters.keep(record, node))
            .map(|(_, candidate)| candidate.clone())
            .collect()
    }
}

/// Version, id, address.
type Identity<'a> = (&'a str, &'a str, &'a str);
