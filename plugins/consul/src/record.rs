//! Nodes as Consul's registrations, and back.

use std::collections::BTreeMap;

use micro_consul_connection::is_askable;
use micro_core::Result;
use micro_core::registry::{Node, ServiceRecord};

use crate::check::Check;
use crate::error;
use crate::message::{CheckState, Connect, Entry, Registration, Service};
use crate::tags;

/// What Consul takes as metadata of a service. All of it is in the tags, too, and nobody reads it here.
const MAX_META: usize = 64;
const MAX_META_KEY: usize = 128;
const MAX_META_VALUE: usize = 512;

/// The id with which a node is registered where another service of the agent has its own.
pub(crate) fn other_id(service: &str, node: &str) -> String {
    format!("{node}@{service}")
}

/// One node as it is registered with an id, or why Consul cannot keep it.
pub(crate) fn registration(
    service: &ServiceRecord,
    node: &Node,
    id: &str,
    check: Option<Check>,
    connect: bool,
) -> Result<Registration> {
    for (what, name) in [("the service's name", &service.name), ("the node's id", &node.id)] {
        if !is_askable(name) {
            return Err(error::refused(format!(
                "{what} {name:?} is empty or has characters that cannot be printed, for which it cannot be asked"
            )));
        }
    }
    let (address, port) = split(&node.address);
    let has_colon = port == 0 && address.contains(':');
    if address.is_empty() || has_colon || join(address, port) != node.address {
        return Err(error::refused(format!(
            "the address {:?} is not a host, or a host and a port such as 192.0.2.7:8080 or [2001:db8::7]:8080",
            node.address
        )));
    }
    let mut tags = tags::encode(service, node).map_err(error::too_large)?;
    if id != node.id {
        tags.push(tags::encode_id(&node.id).map_err(error::too_large)?);
    }
    Ok(Registration {
        id: id.to_owned(),
        name: service.name.clone(),
        tags,
        port,
        address: address.to_owned(),
        meta: node
            .metadata
            .iter()
            .filter(|(key, value)| is_meta(key, value))
            .take(MAX_META)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        check,
        checks: (),
        connect: connect.then_some(Connect { native: true }),
    })
}

/// Whether an agent has a service just as it is to be registered.
pub(crate) fn is_same(wanted: &Registration, known: &Service) -> bool {
    wanted.name == known.service
        && wanted.tags == known.tags
        && wanted.address == known.address
        && i64::from(wanted.port) == known.port
        && wanted.meta == known.meta
}

/// The nodes of a service that are not critical, each as a record of its own. Where a node is registered twice, as with
/// two agents after one was left for the other, the later registration counts.
pub(crate) fn records(name: &str, entries: Vec<Entry>, budget: &mut usize) -> Vec<ServiceRecord> {
    let mut latest: BTreeMap<(String, String), (u64, ServiceRecord)> = BTreeMap::new();
    for entry in entries.into_iter().filter(|entry| is_wanted(name, entry)) {
        let (index, port) = (entry.service.modify_index, entry.service.port);
        let Ok(port) = u16::try_from(port) else {
            let id = &entry.service.id;
            tracing::debug!("consul: service {name}, id {id}, is left out, since {port} is no port");
            continue;
        };
        let record = record(name, entry, port, budget);
        let key = (record.version.clone(), record.nodes[0].id.clone());
        if latest.get(&key).is_none_or(|(known, _)| *known <= index) {
            latest.insert(key, (index, record));
        }
    }
    latest.into_values().map(|(_, record)| record).collect()
}

fn is_wanted(name: &str, entry: &Entry) -> bool {
    let service = &entry.service;
    // Consul's look-ups do not heed the case of names.
    let is_of = service.service == name || service.proxy.destination_service_name == name;
    is_of && !entry.checks.iter().any(CheckState::is_critical)
}

fn record(name: &str, entry: Entry, port: u16, budget: &mut usize) -> ServiceRecord {
    let service = entry.service;
    let told = tags::decode(&service.tags, budget);
    let host = match service.address.as_str() {
        "" => entry.node.address.as_str(),
        address => address,
    };
    let id = told.id.unwrap_or(service.id);
    let mut node = Node::new(id, join(host, port));
    node.metadata = told.metadata;
    let mut record = ServiceRecord::new(name, told.version).with_nodes(vec![node]);
    record.endpoints = told.endpoints;
    record
}

/// Host and port. What has no port is a host, as in Go Micro.
fn split(address: &str) -> (&str, u16) {
    let Some((host, port)) = address.rsplit_once(':') else {
        return (address, 0);
    };
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    match port.parse() {
        Ok(port) => (host, port),
        Err(_) => (address, 0),
    }
}

fn join(host: &str, port: u16) -> String {
    match (host.contains(':'), port) {
        (_, 0) => host.to_owned(),
        (true, port) => format!("[{host}]:{port}"),
        (false, port) => format!("{host}:{port}"),
    }
}

fn is_meta(key: &str, value: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=MAX_META_KEY).contains(&key.len())
        && value.len() <= MAX_META_VALUE
        && key.bytes().all(is_plain)
        && !key.starts_with("consul-")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn greeter(address: &str) -> ServiceRecord {
        let node = Node::new("interop.greeter-node-1", address).with_metadata("protocol", "mucp");
        ServiceRecord::new("interop.greeter", "1.0.0").with_nodes(vec![node])
    }

    fn registered(record: &ServiceRecord) -> Result<Registration> {
        let check = Some(Check::ttl(Duration::from_secs(30)));
        registration(record, &record.nodes[0], &record.nodes[0].id, check, false)
    }

    #[test]
    fn the_body_is_that_of_go_micro() {
        let mut wanted = registered(&greeter("127.0.0.1:9101")).unwrap();
        wanted.tags = vec!["T".into()];
        assert_eq!(
            serde_json::to_string(&wanted).unwrap(),
            concat!(
                r#"{"ID":"interop.greeter-node-1","Name":"interop.greeter","Tags":["T"],"Port":9101,"#,
                r#""Address":"127.0.0.1","Meta":{"protocol":"mucp"},"#,
                r#""Check":{"TTL":"30s","DeregisterCriticalServiceAfter":"1m5s"},"Checks":null}"#
            )
        );
        let record = greeter("127.0.0.1:9101");
        let native = registration(&record, &record.nodes[0], &record.nodes[0].id, None, true).unwrap();
        let json = serde_json::to_string(&native).unwrap();
        assert!(
            json.ends_with(r#""Check":null,"Checks":null,"Connect":{"Native":true}}"#),
            "{json}"
        );
    }

    #[test]
    fn addresses_come_back_as_they_were_or_are_refused() {
        for address in ["127.0.0.1:9101", "[::1]:9002", "greeter.example:80", "queue"] {
            let wanted = registered(&greeter(address)).unwrap();
            assert_eq!(join(&wanted.address, wanted.port), address);
        }
        for address in [
            "",
            ":80",
            "host:0",
            "::1",
            "a:b:1",
            "[::1]",
            "host:007",
            "host:70000",
        ] {
            let error = registered(&greeter(address)).unwrap_err();
            assert!(error.detail().contains(&format!("{address:?}")), "{error}");
        }
    }

    #[test]
    fn names_that_consul_cannot_be_asked_for_are_refused() {
        let mut record = greeter("127.0.0.1:1");
        record.name = "new\nline".into();
        assert!(registered(&record).unwrap_err().detail().contains(r"new\nline"));
    }

    #[test]
    fn metadata_that_consul_refuses_is_in_the_tags_alone() {
        let mut record = greeter("127.0.0.1:1");
        for key in ["a/b", "ключ", "consul-x", "", "plain_key-1"] {
            record.nodes[0].metadata.insert(key.into(), "v".into());
        }
        record.nodes[0].metadata.insert("long".into(), "v".repeat(600));
        let wanted = registered(&record).unwrap();
        let kept: Vec<&str> = wanted.meta.keys().map(String::as_str).collect();
        assert_eq!(kept, ["plain_key-1", "protocol"]);
        let told = tags::decode(&wanted.tags, &mut tags::BUDGET.clone());
        assert_eq!(told.metadata, record.nodes[0].metadata);
    }

    #[test]
    fn an_id_that_another_service_has_is_told_in_a_tag() {
        let record = greeter("127.0.0.1:1");
        let node = &record.nodes[0];
        let id = other_id(&record.name, &node.id);
        let wanted = registration(&record, node, &id, None, false).unwrap();
        assert_eq!(wanted.id, "interop.greeter-node-1@interop.greeter");
        let mut entry = entry(&id, "interop.greeter", 1, 1, "passing");
        entry.service.tags = wanted.tags;
        let records = records("interop.greeter", vec![entry], &mut tags::BUDGET.clone());
        assert_eq!(records[0].nodes[0].id, node.id);
    }

    fn entry(id: &str, service: &str, port: i64, index: u64, status: &str) -> Entry {
        let mut entry = Entry::default();
        entry.node.address = "192.0.2.1".into();
        entry.service = Service {
            id: id.into(),
            service: service.into(),
            port,
            modify_index: index,
            tags: vec!["v=1".into()],
            ..Service::default()
        };
        entry.checks.push(CheckState {
            status: status.into(),
            ..CheckState::default()
        });
        entry
    }

    #[test]
    fn critical_nodes_other_cases_earlier_registrations_and_odd_ports_are_left_out() {
        let entries = vec![
            entry("a", "greeter", 1, 7, "passing"),
            entry("a", "greeter", 2, 9, "passing"),
            entry("b", "greeter", 3, 8, "critical"),
            entry("c", "GREETER", 4, 8, "passing"),
            entry("d", "greeter", 5, 8, "warning"),
            entry("e", "greeter", 70_000, 8, "passing"),
            entry("f", "greeter", -1, 8, "passing"),
        ];
        let records = records("greeter", entries, &mut tags::BUDGET.clone());
        let nodes: Vec<_> = records.iter().map(|record| record.nodes[0].clone()).collect();
        assert_eq!(
            nodes,
            [Node::new("a", "192.0.2.1:2"), Node::new("d", "192.0.2.1:5")]
        );
        assert_eq!(records[0].version, "1");
    }
}
