//! What responses tell of other nodes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use micro_core::registry::{Node, ServiceRecord};

use crate::packet::{Data, Message};
use crate::record::{Key, LIST};
use crate::text::{MAX_JSON, decode_text};

/// A node, or a name in the list of services, that a response told of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sighting {
    pub(crate) key: Key,
    pub(crate) record: ServiceRecord,
    /// Seconds; 0 is a goodbye.
    pub(crate) ttl: u32,
    /// About how many bytes it takes to remember.
    pub(crate) weight: usize,
}

/// All that a response tells of nodes and services in the domain, as far as `wanted` wishes to know of the service.
///
/// Only the TXT records of wanted services are inflated, and all of a packet together to no more than `MAX_JSON`.
pub(crate) fn sightings(message: &Message<'_>, domain: &str, wanted: impl Fn(&str) -> bool) -> Vec<Sighting> {
    let mut budget = MAX_JSON;
    let mut seen = Vec::new();
    for record in &message.records {
        match &record.data {
            Data::Text(text) => {
                let Some(below) = below(&record.name, domain) else {
                    continue;
                };
                if endings(below).any(&wanted) {
                    let sighting = node_sighting(message, &record.name, below, text, &mut budget);
                    seen.extend(sighting.filter(|sighting| wanted(&sighting.key.0)));
                }
            }
            Data::Pointer(entry) if below(&record.name, domain) == Some(LIST) && wanted(LIST) => {
                seen.extend(list_sighting(entry, domain, record.ttl));
            }
            _ => {}
        }
    }
    seen
}

fn node_sighting(
    message: &Message<'_>,
    name: &str,
    below: &str,
    text: &[u8],
    budget: &mut usize,
) -> Option<Sighting> {
    let (ttl, port, target) = message.records.iter().find_map(|record| match &record.data {
        Data::Service { port, target, .. } if record.name == name => Some((record.ttl, *port, target)),
        _ => None,
    })?;
    let addresses = message.records.iter().filter_map(|record| match record.data {
        Data::Address(address) if record.name == *target => Some(address),
        _ => None,
    });
    // As Go does, the IPv4 address is preferred.
    let address = addresses.min_by_key(IpAddr::is_ipv6)?;
    if address.is_unspecified() {
        return None;
    }
    let (text, size) = decode_text(text, budget)?;
    let id = below.strip_suffix(&text.service)?.strip_suffix('.')?;
    let node = Node {
        id: id.to_owned(),
        address: SocketAddr::new(address, port).to_string(),
        metadata: text.metadata.unwrap_or_default(),
    };
    let record = ServiceRecord {
        name: text.service,
        version: text.version,
        metadata: BTreeMap::new(),
        endpoints: text.endpoints.unwrap_or_default(),
        nodes: vec![node],
    };
    Some(Sighting {
        key: (record.name.clone(), record.version.clone(), id.to_owned()),
        record,
        ttl,
        weight: 512 + 4 * size,
    })
}

fn list_sighting(entry: &str, domain: &str, ttl: u32) -> Option<Sighting> {
    let service = below(entry, domain)?.strip_suffix(LIST)?.strip_suffix('.')?;
    Some(Sighting {
        key: (LIST.to_owned(), String::new(), service.to_owned()),
        record: ServiceRecord::new(service, ""),
        ttl,
        weight: 512,
    })
}

/// The name without the domain.
fn below<'a>(name: &'a str, domain: &str) -> Option<&'a str> {
    name.strip_suffix(domain)?.strip_suffix('.')
}

/// What a node's name may end with: each part of it behind a dot.
fn endings(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.').map(|(at, _)| &name[at + 1..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packet::{ANNOUNCEMENT, Question, Writer};
    use crate::record::{NodeRecord, answer_for_list};

    fn node(address: &str) -> (NodeRecord, ServiceRecord) {
        let node = Node::new("node.1", address).with_metadata("protocol", "mucp");
        let record = ServiceRecord::new("interop.greeter", "1").with_nodes(vec![node]);
        (
            NodeRecord::new(&record, &record.nodes[0], "micro", "vm", 90).unwrap(),
            record,
        )
    }

    fn see(packet: &[u8], wanted: &str) -> Vec<Sighting> {
        sightings(&Message::parse(packet).unwrap(), "micro", |service| {
            service == wanted
        })
    }

    #[test]
    fn an_answer_is_seen_as_the_node_it_is_about() {
        for address in ["127.0.0.1:9101", "[2001:db8::7]:9101"] {
            let (node, record) = node(address);
            let answer = node
                .answer_to(&Question::pointer("interop.greeter.micro"))
                .unwrap();
            for packet in [&answer, &node.announcement(90)] {
                let seen = see(packet, "interop.greeter");
                assert_eq!(seen.len(), 1);
                assert_eq!((&seen[0].record, seen[0].ttl), (&record, 90));
                assert_eq!(
                    seen[0].key,
                    ("interop.greeter".into(), "1".into(), "node.1".into())
                );
            }
            assert_eq!(see(&node.announcement(0), "interop.greeter")[0].ttl, 0);
            assert!(
                see(&answer, "greeter").is_empty(),
                "a name within a name is another service"
            );
            assert!(see(&answer, "other").is_empty());
        }
    }

    #[test]
    fn the_list_is_seen_by_name() {
        let question = Question::pointer("_services.micro");
        let answer = answer_for_list(&question, "interop.greeter", "micro", "vm").unwrap();
        let seen = see(&answer, LIST);
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].record.name, "interop.greeter");
        assert!(see(&answer, "interop.greeter").is_empty());
    }

    #[test]
    fn a_response_that_lacks_a_record_tells_nothing() {
        let mut writer = Writer::new(0, ANNOUNCEMENT);
        writer.text("node.greeter.micro", 120, b"\x02aa");
        assert!(see(&writer.finish(), "greeter").is_empty());
        let mut writer = Writer::new(0, ANNOUNCEMENT);
        writer.service("node.greeter.micro", 120, 1, "vm");
        writer.address("vm", 120, [127, 0, 0, 1].into());
        writer.text("node.greeter.micro", 120, b"");
        assert!(see(&writer.finish(), "greeter").is_empty());
    }

    proptest! {
        #[test]
        fn damaged_announcements_are_seen_without_harm(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let mut packet = node("127.0.0.1:9101").0.announcement(90);
            for (at, byte) in damage {
                *at.get_mut(&mut packet) = byte;
            }
            if let Ok(message) = Message::parse(&packet) {
                let _ = sightings(&message, "micro", |_| true);
            }
        }
    }
}
