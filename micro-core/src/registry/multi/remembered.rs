//! What a registry said last, of a bounded number of services.

use std::collections::HashMap;

use crate::registry::ServiceRecord;

/// The last records of services, each of which has nodes. The one that was asked for the longest ago goes first.
pub(super) struct Remembered {
    services: HashMap<String, Answer>,
    limit: usize,
    asked: u64,
}

struct Answer {
    records: Vec<ServiceRecord>,
    asked: u64,
}

impl Remembered {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            services: HashMap::new(),
            limit,
            asked: 0,
        }
    }

    /// Notes what there is now of a service; nothing is forgotten.
    pub(super) fn set(&mut self, name: &str, records: &[ServiceRecord]) {
        if records.is_empty() {
            self.services.remove(name);
            return;
        }
        self.asked += 1;
        if let Some(known) = self.services.get_mut(name) {
            known.asked = self.asked;
            if known.records != records {
                known.records = records.to_vec();
            }
            return;
        }
        if self.services.len() >= self.limit {
            self.make_room();
        }
        let answer = Answer {
            records: records.to_vec(),
            asked: self.asked,
        };
        self.services.insert(name.to_owned(), answer);
    }

    /// What was known last; empty when nothing is.
    pub(super) fn get(&mut self, name: &str) -> Vec<ServiceRecord> {
        self.asked += 1;
        let Some(known) = self.services.get_mut(name) else {
            return Vec::new();
        };
        known.asked = self.asked;
        known.records.clone()
    }

    /// What was known last of all services that are kept.
    pub(super) fn all(&self) -> Vec<ServiceRecord> {
        let records = self.services.values().flat_map(|answer| &answer.records);
        records.cloned().collect()
    }

    pub(super) fn clear(&mut self) {
        self.services.clear();
    }

    fn make_room(&mut self) {
        let longest_unasked = self.services.iter().min_by_key(|(_, answer)| answer.asked);
        if let Some(name) = longest_unasked.map(|(name, _)| name.clone()) {
            self.services.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(name: &str) -> Vec<ServiceRecord> {
        vec![ServiceRecord::new(name, "1")]
    }

    #[test]
    fn what_was_not_asked_for_the_longest_makes_room() {
        let mut remembered = Remembered::new(2);
        remembered.set("a", &records("a"));
        remembered.set("b", &records("b"));
        assert_eq!(remembered.get("a"), records("a"));
        remembered.set("c", &records("c"));
        assert_eq!(remembered.get("b"), []);
        assert_eq!(remembered.get("a"), records("a"));
        assert_eq!(remembered.get("c"), records("c"));
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let mut remembered = Remembered::new(2);
        remembered.set("a", &records("a"));
        remembered.set("a", &[]);
        assert_eq!(remembered.get("a"), []);
    }
}
