//! The endpoints of Kubernetes' own services, as nodes.

use micro_core::registry::{Node, ServiceRecord};

use crate::config::EndpointSlices;
use crate::objects::{Endpoint, EndpointSlice, Port};

/// Go Micro's word for a version that nobody gave.
const VERSION: &str = "latest";

/// Whether there can be a Kubernetes service of that name.
pub(crate) fn is_name(service: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !service.is_empty() && service.len() <= 63 && service.bytes().all(is_fine) && !service.ends_with('-')
}

/// The query that selects the slices of a service.
pub(crate) fn selector(service: &str) -> String {
    format!("kubernetes.io/service-name={service}")
}

/// One node for each endpoint that is ready, and port that is wanted.
pub(crate) fn record(service: &str, slice: &EndpointSlice, wanted: &EndpointSlices) -> ServiceRecord {
    let ports: Vec<&Port> = slice
        .ports
        .iter()
        .flatten()
        .filter(|port| is_wanted(port, wanted))
        .collect();
    let ready = slice
        .endpoints
        .iter()
        .flatten()
        .filter(|endpoint| is_ready(endpoint));
    let nodes = ready.flat_map(|endpoint| ports.iter().filter_map(|port| node(service, endpoint, port)));
    ServiceRecord::new(service, VERSION).with_nodes(nodes.collect())
}

fn is_wanted(port: &Port, wanted: &EndpointSlices) -> bool {
    let is_tcp = port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP");
    let name = port.name.as_deref().unwrap_or_default();
    is_tcp && wanted.port.as_deref().is_none_or(|wanted| wanted == name)
}

fn is_ready(endpoint: &Endpoint) -> bool {
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    conditions.ready.unwrap_or(true) && !conditions.terminating.unwrap_or(false)
}

fn node(service: &str, endpoint: &Endpoint, port: &Port) -> Option<Node> {
    // Of an endpoint's addresses only the first means anything.
    let address = endpoint.addresses.as_ref()?.first()?;
    let number = port.port?;
    let Ok(number @ 1..) = u16::try_from(number) else {
        tracing::debug!("kubernetes: an endpoint of {service} is left out, since {number} is no port");
        return None;
    };
    let address = match address.contains(':') {
        true => format!("[{address}]:{number}"),
        false => format!("{address}:{number}"),
    };
    let mut node = Node::new(format!("{service}-{address}"), address);
    let pod = endpoint.target_ref.as_ref().filter(|target| target.kind == "Pod");
    let known = [
        ("port", port.name.as_deref()),
        ("pod", pod.map(|pod| pod.name.as_str())),
        ("zone", endpoint.zone.as_deref()),
    ];
    for (key, value) in known {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            node = node.with_metadata(key, value);
        }
    }
    Some(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_endpoints_become_nodes() {
        let slice: EndpointSlice = serde_json::from_str(
            r#"{"addressType":"IPv4","endpoints":[
                {"addresses":["10.0.0.1","10.0.0.9"],"conditions":{"ready":true},"zone":"z1","targetRef":{"kind":"Pod","name":"p1"}},
                {"addresses":["10.0.0.2"],"conditions":{"ready":false}},
                {"addresses":["10.0.0.3"],"conditions":{"ready":true,"terminating":true}},
                {"addresses":["fd00::1"]},
                {"addresses":[]}],
               "ports":[{"name":"odd","port":70000},{"name":"none","port":0},{"name":"rpc","port":9000,"protocol":"TCP"},{"name":"dns","port":53,"protocol":"UDP"},{"name":"web","port":80},{"port":null}]}"#,
        )
        .unwrap();
        let of = |port: Option<&str>| {
            let wanted = EndpointSlices {
                port: port.map(str::to_owned),
            };
            record("greeter", &slice, &wanted)
        };
        let rpc = of(Some("rpc"));
        assert_eq!((rpc.name.as_str(), rpc.version.as_str()), ("greeter", "latest"));
        assert_eq!(
            rpc.nodes[0],
            Node::new("greeter-10.0.0.1:9000", "10.0.0.1:9000")
                .with_metadata("port", "rpc")
                .with_metadata("pod", "p1")
                .with_metadata("zone", "z1")
        );
        assert_eq!(rpc.nodes[1].address, "[fd00::1]:9000");
        assert_eq!(rpc.nodes.len(), 2);
        assert_eq!(of(None).nodes.len(), 4);
        assert!(of(Some("dns")).nodes.is_empty());
    }

    #[test]
    fn kubernetes_names_its_services_in_its_own_way() {
        for name in ["greeter", "a-1"] {
            assert!(is_name(name));
        }
        for name in ["", "a.b", "A", "a-", "a/b", &"x".repeat(64)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
