//! What a watch has seen, by key: events of etcd become changes of nodes.

use std::collections::BTreeMap;

use micro_core::registry::{Action, Change, Node, ServiceRecord};
use micro_etcd_connection::proto::{DELETED, Event, KeyValue};

use crate::record::read;

/// Which key tells of which node, of one service or of all.
#[derive(Debug)]
pub(crate) struct Seen {
    service: Option<String>,
    /// With nothing but names: whoever follows has the whole records.
    keys: BTreeMap<Vec<u8>, ServiceRecord>,
}

impl Seen {
    pub(crate) fn new(service: Option<&str>) -> Self {
        Self {
            service: service.map(str::to_owned),
            keys: BTreeMap::new(),
        }
    }

    /// Takes a complete listing and gives its records.
    pub(crate) fn replace(&mut self, listing: Vec<KeyValue>) -> Vec<ServiceRecord> {
        self.keys.clear();
        let mut records = Vec::new();
        for kv in listing {
            if let Some(record) = self.record(&kv) {
                self.keys.insert(kv.key, names(&record));
                records.push(record);
            }
        }
        records
    }

    /// Takes one event and tells what it may change. A deletion has names only.
    pub(crate) fn apply(&mut self, event: Event) -> Vec<Change> {
        let Some(kv) = event.kv else {
            return Vec::new();
        };
        let record = if event.kind == DELETED {
            None
        } else {
            self.record(&kv)
        };
        let before = match &record {
            Some(record) => self.keys.insert(kv.key, names(record)),
            None => self.keys.remove(&kv.key),
        };
        // The key may tell of another version or node than before.
        let gone = before.filter(|before| record.as_ref().is_none_or(|record| names(record) != *before));
        let gone = gone.map(|gone| change(Action::Delete, gone));
        gone.into_iter()
            .chain(record.map(|record| change(Action::Update, record)))
            .collect()
    }

    fn record(&self, kv: &KeyValue) -> Option<ServiceRecord> {
        // Different names share a prefix when one has a slash where the other has a dash.
        let is_wanted =
            |record: &ServiceRecord| self.service.as_ref().is_none_or(|name| *name == record.name);
        read(&kv.key, &kv.value).filter(is_wanted)
    }
}

fn change(action: Action, service: ServiceRecord) -> Change {
    Change { action, service }
}

fn names(record: &ServiceRecord) -> ServiceRecord {
    let mut names = ServiceRecord::new(&record.name, &record.version);
    names.nodes = record.nodes.iter().map(|node| Node::new(&node.id, "")).collect();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kv(key: &str, value: &str) -> KeyValue {
        KeyValue {
            key: key.into(),
            value: value.into(),
            ..KeyValue::default()
        }
    }

    fn value(version: &str, address: &str) -> String {
        format!(r#"{{"name":"greeter","version":"{version}","nodes":[{{"id":"a","address":"{address}"}}]}}"#)
    }

    fn put(key: &str, value: &str) -> Event {
        Event {
            kind: 0,
            kv: Some(kv(key, value)),
        }
    }

    fn told(changes: &[Change]) -> Vec<(Action, &str)> {
        changes
            .iter()
            .map(|change| (change.action, change.service.version.as_str()))
            .collect()
    }

    #[test]
    fn a_node_that_changes_its_version_goes_and_comes() {
        let mut seen = Seen::new(Some("greeter"));
        let changes = seen.apply(put("k", &value("1", "x")));
        assert_eq!(told(&changes), [(Action::Update, "1")]);
        let changes = seen.apply(put("k", &value("1", "y")));
        assert_eq!(told(&changes), [(Action::Update, "1")]);
        let changes = seen.apply(put("k", &value("2", "y")));
        assert_eq!(told(&changes), [(Action::Delete, "1"), (Action::Update, "2")]);
        assert_eq!(changes[0].service.nodes[0].id, "a", "the deletion names its node");
    }

    #[test]
    fn what_is_no_record_any_more_is_gone_and_other_services_are_not_told() {
        let mut seen = Seen::new(Some("greeter"));
        let listing = seen.replace(vec![kv("k", &value("1", "x")), kv("j", "garbage")]);
        assert_eq!(listing.len(), 1);
        assert_eq!(told(&seen.apply(put("k", "garbage"))), [(Action::Delete, "1")]);
        let deleted = Event {
            kind: DELETED,
            kv: Some(kv("k", "")),
        };
        assert!(seen.apply(deleted).is_empty());
        let mut other = Seen::new(Some("other"));
        assert!(other.apply(put("k", &value("1", "x"))).is_empty());
    }
}
