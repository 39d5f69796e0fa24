//! The nodes of this process: what to answer, what to announce, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use micro_core::registry::ServiceRecord;
use tokio::time::Instant;

use crate::packet::Question;
use crate::record::{Key, NodeRecord, answer_for_list};

/// After the first announcement: how long until the second, and from there until the third.
const ANNOUNCE_AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
/// After a goodbye: how long until it is said once more, for those whom the first did not reach.
const GOODBYE_AGAIN: Duration = Duration::from_millis(250);

/// What this process has registered.
#[derive(Debug, Default)]
pub(crate) struct Own {
    nodes: BTreeMap<Key, Registered>,
    goodbyes: Vec<(Instant, Key, Vec<u8>)>,
}

#[derive(Debug)]
struct Registered {
    node: NodeRecord,
    lapses: Option<Instant>,
    /// When to announce next, and how many times that has been postponed.
    announce: Option<(Instant, usize)>,
}

impl Own {
    /// Takes a node in or refreshes it. Returns the announcement to send now and whether others see a difference.
    pub(crate) fn register(
        &mut self,
        node: NodeRecord,
        lapses: Option<Instant>,
        now: Instant,
    ) -> (Vec<u8>, bool) {
        let key = node.key();
        self.goodbyes.retain(|(_, gone, _)| *gone != key);
        let known = self.nodes.get(&key);
        let same = known.is_some_and(|known| known.node.is_same(&node));
        let announce = if same {
            known.and_then(|known| known.announce)
        } else {
            Some((now + ANNOUNCE_AGAIN[0], 0))
        };
        let announcement = node.announcement(node.ttl);
        let registered = Registered {
            node,
            lapses,
            announce,
        };
        self.nodes.insert(key, registered);
        (announcement, !same)
    }

    /// Takes a node out. Returns its record and the goodbye to send now.
    pub(crate) fn deregister(&mut self, key: &Key, now: Instant) -> Option<(ServiceRecord, Vec<u8>)> {
        let registered = self.nodes.remove(key)?;
        let goodbye = registered.node.announcement(0);
        self.goodbyes
            .push((now + GOODBYE_AGAIN, key.clone(), goodbye.clone()));
        Some((registered.node.record, goodbye))
    }

    /// Goodbyes for all, when this process leaves.
    pub(crate) fn leave(&mut self) -> Vec<Vec<u8>> {
        let nodes = std::mem::take(&mut self.nodes);
        nodes
            .into_values()
            .map(|registered| registered.node.announcement(0))
            .collect()
    }

    /// Announcements of all, for those who have not heard any.
    pub(crate) fn announcements(&self) -> Vec<Vec<u8>> {
        let nodes = self.nodes.values().map(|registered| &registered.node);
        nodes.map(|node| node.announcement(node.ttl)).collect()
    }

    /// Announcements and repeated goodbyes that are due.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        self.goodbyes.retain_mut(|(at, _, goodbye)| {
            let later = now < *at;
            if !later {
                packets.push(std::mem::take(goodbye));
            }
            later
        });
        for registered in self.nodes.values_mut() {
            if let Some((at, step)) = registered.announce
                && at <= now
            {
                packets.push(registered.node.announcement(registered.node.ttl));
                registered.announce = ANNOUNCE_AGAIN.get(step + 1).map(|pause| (now + *pause, step + 1));
            }
        }
        packets
    }

    /// The nodes that were not registered again in time.
    pub(crate) fn lapsed(&self, now: Instant) -> Vec<Key> {
        let lapsed = |registered: &Registered| registered.lapses.is_some_and(|lapses| lapses <= now);
        let nodes = self.nodes.iter().filter(|(_, registered)| lapsed(registered));
        nodes.map(|(key, _)| key.clone()).collect()
    }

    /// When there is something to do next.
    pub(crate) fn next(&self) -> Option<Instant> {
        let nodes = self.nodes.values();
        let times = nodes.flat_map(|registered| [registered.lapses, registered.announce.map(|(at, _)| at)]);
        let goodbyes = self.goodbyes.iter().map(|(at, _, _)| *at);
        times.flatten().chain(goodbyes).min()
    }

    /// The answers to a question, one packet each, as Go's responders send them.
    pub(crate) fn answers(&self, question: &Question, domain: &str, host: &str) -> Vec<Vec<u8>> {
        if !question.name.ends_with(domain) {
            return Vec::new();
        }
        let nodes = self.nodes.values();
        let about_nodes = nodes.filter_map(|registered| registered.node.answer_to(question));
        let mut answers: Vec<Vec<u8>> = about_nodes.collect();
        for service in self.services() {
            match answer_for_list(question, service, domain, host) {
                Some(answer) => answers.push(answer),
                // The question is about something else, whatever the service.
                None => break,
            }
        }
        answers
    }

    /// The names of the services, each once.
    pub(crate) fn services(&self) -> impl Iterator<Item = &str> {
        let mut last = None;
        self.nodes
            .keys()
            .map(|key| key.0.as_str())
            .filter(move |service| last.replace(*service) != Some(*service))
    }

    /// The records of one service or of all, one a node.
    pub(crate) fn records(&self, service: Option<&str>) -> impl Iterator<Item = &ServiceRecord> {
        self.nodes
            .iter()
            .filter(move |(key, _)| service.is_none_or(|service| key.0 == service))
            .map(|(_, registered)| &registered.node.record)
    }

    pub(crate) fn has(&self, key: &Key) -> bool {
        self.nodes.contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    use micro_core::registry::Node;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn node(port: u16) -> NodeRecord {
        let node = Node::new("a", format!("127.0.0.1:{port}"));
        let record = ServiceRecord::new("greeter", "1");
        NodeRecord::new(&record, &node, "micro", "vm", 120).expect("a good node")
    }

    #[test]
    fn a_node_is_announced_at_0_1_and_3_seconds() {
        let start = Instant::now();
        let mut own = Own::default();
        let (announcement, changed) = own.register(node(1), None, start);
        assert!(changed);
        let due: Vec<u64> = (0..100)
            .filter(|tenth| {
                let due = own.due(start + SECOND * *tenth / 10);
                assert!(due.iter().all(|packet| *packet == announcement));
                !due.is_empty()
            })
            .map(u64::from)
            .collect();
        assert_eq!(due, [10, 30]);
        assert_eq!(own.next(), None);
    }

    #[test]
    fn a_refresh_is_told_once_and_a_change_like_a_new_node() {
        let start = Instant::now();
        let mut own = Own::default();
        own.register(node(1), None, start);
        own.due(start + 9 * SECOND);
        own.due(start + 12 * SECOND);
        assert!(
            !own.register(node(1), Some(start + 60 * SECOND), start + 20 * SECOND)
                .1
        );
        assert_eq!(own.next(), Some(start + 60 * SECOND), "only its end is ahead");
        assert!(own.register(node(2), None, start + 21 * SECOND).1);
        assert_eq!(own.next(), Some(start + 22 * SECOND));
    }

    #[test]
    fn a_goodbye_is_said_twice_unless_the_node_is_back() {
        let start = Instant::now();
        let mut own = Own::default();
        let key = node(1).key();
        assert!(own.deregister(&key, start).is_none());
        own.register(node(1), None, start);
        let (record, goodbye) = own.deregister(&key, start).expect("it was there");
        assert_eq!(record.nodes[0].id, "a");
        assert_eq!(own.due(start + SECOND), [goodbye]);
        own.register(node(1), None, start);
        own.deregister(&key, start);
        own.register(node(1), None, start);
        assert_eq!(own.due(start + SECOND / 2), Vec::<Vec<u8>>::new());
        assert_eq!(own.lapsed(start + SECOND), Vec::<Key>::new());
    }
}
