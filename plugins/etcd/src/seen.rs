//! What a watch has seen, by key: events of etcd become changes of nodes.

use std::collections::BTreeMap;

use micro_core::registry::{Action, Change, KnownNodes, ServiceRecord};

use crate::proto::{DELETED, Event, KeyValue};
use crate::record::read;

/// The nodes of one service, or of all, and which key tells of which.
#[derive(Debug)]
pub(crate) struct Seen {
    service: Option<String>,
    /// With nothing but names: the whole records are what `known` has.
    keys: BTreeMap<Vec<u8>, ServiceRecord>,
    known: KnownNodes,
}

impl Seen {
    pub(crate) fn new(service: Option<&str>) -> Self {
        Self {
            service: service.map(str::to_owned),
            keys: BTreeMap::new(),
            known: KnownNodes::new(),
        }
    }

    /// Takes a complete listing and tells what is another now.
    pub(crate) fn replace(&mut self, listing: Vec<KeyValue>) -> Vec<Change> {
        self.keys.clear();
        let mut records = Vec::new();
        for kv in listing {
            if let Some(record) = self.record(&kv) {
                self.keys.insert(kv.key, names(&record));
                records.push(record);
            }
        }
        self.known.replace(records)
    }

    /// Takes one event and tells what it changes.
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
        let mut told = Vec::new();
        // The key may tell of another version or node than before.
        if let Some(before) = before
            && record.as_ref().is_none_or(|record| names(record) != before)
        {
            told.extend(self.known.apply(change(Action::Delete, before)));
        }
        if let Some(record) = record {
            told.extend(self.known.apply(change(Action::Update, record)));
        }
        told
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
    names.nodes = record
        .nodes
        .iter()
        .map(|node| micro_core::registry::Node::new(&node.id, ""))
        .collect();
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
        assert_eq!(
            told(&seen.apply(put("k", &value("1", "x")))),
            [(Action::Create, "1")]
        );
        assert!(
            seen.apply(put("k", &value("1", "x"))).is_empty(),
            "a mere refresh"
        );
        assert_eq!(
            told(&seen.apply(put("k", &value("1", "y")))),
            [(Action::Update, "1")]
        );
        let changes = seen.apply(put("k", &value("2", "y")));
        assert_eq!(told(&changes), [(Action::Delete, "1"), (Action::Create, "2")]);
        assert_eq!(
            changes[0].service.nodes[0].address, "y",
            "the record that was known"
        );
    }

    #[test]
    fn what_is_no_record_any_more_is_gone_and_other_services_are_not_told() {
        let mut seen = Seen::new(Some("greeter"));
        assert_eq!(
            seen.replace(vec![kv("k", &value("1", "x")), kv("j", "garbage")])
                .len(),
            1
        );
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
