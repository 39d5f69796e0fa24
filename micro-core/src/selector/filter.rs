//! Which nodes may take a call at all.

use std::fmt;
use std::sync::Arc;

use crate::Text;
use crate::registry::{Node, ServiceRecord};

/// One condition that a node must meet.
///
/// Filters are compared when a selector looks for nodes that it has filtered before; a filter of your own equals
/// only its clones. So make it once and keep it, rather than anew for every call.
#[derive(Clone)]
pub struct Filter(Kind);

type Keeps = dyn Fn(&ServiceRecord, &Node) -> bool + Send + Sync;

#[derive(Clone)]
enum Kind {
    Version(Text),
    Endpoint(Text),
    Label(Text, Text),
    Transport { protocol: Text, transport: Text },
    Custom(Text, Arc<Keeps>),
}

impl Filter {
    /// Nodes that run this version of the service.
    pub fn version(version: impl Into<Text>) -> Self {
        Self(Kind::Version(version.into()))
    }

    /// Nodes whose version states this endpoint, such as `Greeter.Hello`.
    ///
    /// A version that states no endpoints is left out too, as in Go Micro.
    pub fn endpoint(endpoint: impl Into<Text>) -> Self {
        Self(Kind::Endpoint(endpoint.into()))
    }

    /// Nodes whose metadata has this pair.
    pub fn label(key: impl Into<Text>, value: impl Into<Text>) -> Self {
        Self(Kind::Label(key.into(), value.into()))
    }

    /// Leaves out nodes whose metadata states another `protocol` or `transport`. Nodes that state none are kept.
    pub fn transport(protocol: impl Into<Text>, transport: impl Into<Text>) -> Self {
        Self(Kind::Transport {
            protocol: protocol.into(),
            transport: transport.into(),
        })
    }

    /// Nodes for which a closure says yes. The name is for error messages.
    ///
    /// The closure gets the record of the node's version (without nodes) and the node. It runs once for each node
    /// when the nodes change, not at calls.
    pub fn custom(
        name: impl Into<Text>,
        keeps: impl Fn(&ServiceRecord, &Node) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self(Kind::Custom(name.into(), Arc::new(keeps)))
    }

    /// Whether a node passes. `service` is the record of its version.
    pub fn keeps(&self, service: &ServiceRecord, node: &Node) -> bool {
        let states = |key: &str, value: &Text| node.metadata.get(key).map(|stated| *value == stated.as_str());
        match &self.0 {
            Kind::Version(version) => *version == service.version.as_str(),
            Kind::Endpoint(endpoint) => {
                let mut endpoints = service.endpoints.iter();
                endpoints.any(|known| *endpoint == known.name.as_str())
            }
            Kind::Label(key, value) => states(key, value) == Some(true),
            Kind::Transport { protocol, transport } => {
                states("protocol", protocol) != Some(false) && states("transport", transport) != Some(false)
            }
            Kind::Custom(_, keeps) => keeps(service, node),
        }
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Version(one), Kind::Version(two)) | (Kind::Endpoint(one), Kind::Endpoint(two)) => {
                one == two
            }
            (Kind::Label(key, value), Kind::Label(other, stated)) => key == other && value == stated,
            (
                Kind::Transport { protocol, transport },
                Kind::Transport {
                    protocol: other,
                    transport: name,
                },
            ) => protocol == other && transport == name,
            (Kind::Custom(_, one), Kind::Custom(_, two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Version(version) => write!(formatter, "version {version}"),
            Kind::Endpoint(endpoint) => write!(formatter, "endpoint {endpoint}"),
            Kind::Label(key, value) => write!(formatter, "label {key}={value}"),
            Kind::Transport { protocol, transport } => {
                write!(formatter, "protocol {protocol} over transport {transport}")
            }
            Kind::Custom(name, _) => write!(formatter, "{name}"),
        }
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Filter({self})")
    }
}

/// Conditions that a node must meet, all of them. Clones share the list; the empty list costs nothing.
#[derive(Clone, Default)]
pub struct Filters(Option<Arc<[Filter]>>);

impl Filters {
    /// No condition: every node passes.
    pub const fn none() -> Self {
        Self(None)
    }

    /// These conditions and one more.
    #[must_use]
    pub fn and(&self, filter: Filter) -> Self {
        self.iter().cloned().chain([filter]).collect()
    }

    /// Whether every node passes.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The conditions.
    pub fn iter(&self) -> impl Iterator<Item = &Filter> {
        self.0.iter().flat_map(|filters| filters.iter())
    }

    /// Whether a node meets all conditions. `service` is the record of its version.
    pub fn keep(&self, service: &ServiceRecord, node: &Node) -> bool {
        self.iter().all(|filter| filter.keeps(service, node))
    }
}

impl FromIterator<Filter> for Filters {
    fn from_iter<T: IntoIterator<Item = Filter>>(filters: T) -> Self {
        let filters: Arc<[Filter]> = filters.into_iter().collect();
        Self((!filters.is_empty()).then_some(filters))
    }
}

impl From<Filter> for Filters {
    fn from(filter: Filter) -> Self {
        [filter].into_iter().collect()
    }
}

impl PartialEq for Filters {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two) || one == two,
            (None, None) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Filters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, filter) in self.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(formatter, "{comma}{filter}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Filters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Filters({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Endpoint;

    #[test]
    fn a_node_that_states_no_transport_fits_every_transport() {
        let filter = Filter::transport("mucp", "http");
        let service = ServiceRecord::new("greeter", "1");
        let node = Node::new("a", "");
        assert!(filter.keeps(&service, &node));
        assert!(filter.keeps(&service, &node.clone().with_metadata("protocol", "mucp")));
        assert!(!filter.keeps(&service, &node.clone().with_metadata("protocol", "grpc")));
        let other = node
            .with_metadata("protocol", "mucp")
            .with_metadata("transport", "nats");
        assert!(!filter.keeps(&service, &other));
    }

    #[test]
    fn version_endpoint_and_label_must_be_stated() {
        let mut service = ServiceRecord::new("greeter", "1");
        service.endpoints.push(Endpoint {
            name: "Greeter.Hello".into(),
            ..Endpoint::default()
        });
        let node = Node::new("a", "").with_metadata("zone", "north");
        let keeps = |filter: Filter| filter.keeps(&service, &node);
        assert!(keeps(Filter::version("1")) && !keeps(Filter::version("2")));
        assert!(keeps(Filter::endpoint("Greeter.Hello")) && !keeps(Filter::endpoint("Greeter.Bye")));
        assert!(keeps(Filter::label("zone", "north")) && !keeps(Filter::label("zone", "south")));
        assert!(!keeps(Filter::label("rack", "")));
    }

    #[test]
    fn filters_are_equal_by_what_they_ask_and_closures_by_identity() {
        let one = Filters::from(Filter::version("1")).and(Filter::label("a", "b"));
        let two = Filters::none()
            .and(Filter::version("1"))
            .and(Filter::label("a", "b"));
        assert_eq!(one, two);
        assert_ne!(one, Filters::from(Filter::version("1")));
        let custom = || Filter::custom("odd", |_, _| true);
        let kept = custom();
        assert_eq!(kept, kept.clone());
        assert_ne!(kept, custom());
        assert_eq!(one.to_string(), "version 1, label a=b");
    }
}
