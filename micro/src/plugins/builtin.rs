//! The plugins that this crate links, by feature.

#[allow(dead_code, unused_imports, reason = "a program may link none of them")]
mod registries;
#[cfg(any(feature = "rabbitmq", feature = "rabbitmq-transport"))]
mod rabbitmq;

use std::sync::Arc;

use micro_core::broker::{HttpBroker, HttpBrokerConfig, MemoryBroker};
use micro_core::registry::MemoryRegistry;
use micro_core::selector::{ConsistentHash, PowerOfTwoChoices, Random, RoundRobin};
use micro_core::transport::http::HttpConfig;
use micro_core::transport::{HttpTransport, MemoryTransport};
use micro_core::{Broker, Registry, Result, Transport};

use super::{PluginArguments, Plugins, wrong};

/// Kind, name and feature of what can be linked beyond the core.
const OPTIONAL: &[(&str, &str, &str)] = &[
    ("registry", "mdns", "mdns"),
    ("profile", "local", "mdns"),
    ("registry", "consul", "consul"),
    ("registry", "dns", "dns"),
    ("registry", "etcd", "etcd"),
    ("registry", "gossip", "gossip"),
    ("registry", "kubernetes", "kubernetes"),
    ("registry", "zookeeper", "zookeeper"),
    ("transport", "grpc", "grpc"),
    ("broker", "rabbitmq", "rabbitmq"),
    ("transport", "rabbitmq", "rabbitmq-transport"),
];

/// The feature that links a plugin.
pub(super) fn feature(kind: &str, name: &str) -> Option<&'static str> {
    let mut found = OPTIONAL.iter().filter(|row| row.0 == kind && row.1 == name);
    found.next().map(|row| row.2)
}

pub(super) fn plugins() -> Plugins {
    let registry = MemoryRegistry::new();
    let transport = MemoryTransport::new();
    let broker = MemoryBroker::new();
    let plugins = Plugins::none()
        .registry("memory", move |_| {
            let registry: Arc<dyn Registry> = Arc::new(registry.clone());
            async move { Ok(registry) }
        })
        .transport("memory", move |arguments| {
            let made = memory(transport.clone(), &arguments);
            async move { made }
        })
        .transport("http", |arguments| async move { http(arguments) })
        .broker("memory", move |arguments| {
            unused_addresses("broker", "memory", &arguments.addresses);
            let broker: Arc<dyn Broker> = Arc::new(broker.clone());
            async move { Ok(broker) }
        })
        .broker("http", |arguments| async move { http_broker(arguments) })
        .strategy(Arc::new(Random))
        .strategy(Arc::new(RoundRobin))
        .strategy(Arc::new(PowerOfTwoChoices))
        .strategy(Arc::new(ConsistentHash));
    #[cfg(feature = "mdns")]
    let plugins = plugins.registry("mdns", registries::mdns).profile(
        "local",
        &[("registry", "mdns"), ("transport", "http"), ("broker", "http")],
    );
    #[cfg(feature = "consul")]
    let plugins = plugins.registry("consul", registries::consul);
    #[cfg(feature = "dns")]
    let plugins = plugins.registry("dns", registries::dns);
    #[cfg(feature = "etcd")]
    let plugins = plugins.registry("etcd", registries::etcd);
    #[cfg(feature = "gossip")]
    let plugins = plugins.registry("gossip", registries::gossip);
    #[cfg(feature = "grpc")]
    let plugins = plugins.transport("grpc", |arguments| async move { grpc(arguments) });
    #[cfg(feature = "kubernetes")]
    let plugins = plugins.registry("kubernetes", registries::kubernetes);
    #[cfg(feature = "rabbitmq")]
    let plugins = plugins.broker("rabbitmq", rabbitmq::broker);
    #[cfg(feature = "rabbitmq-transport")]
    let plugins = plugins.transport("rabbitmq", rabbitmq::transport);
    #[cfg(feature = "zookeeper")]
    let plugins = plugins.registry("zookeeper", registries::zookeeper);
    plugins
}

fn http(arguments: PluginArguments) -> Result<Arc<dyn Transport>> {
    let mut config = HttpConfig {
        tls: arguments.tls,
        routes: arguments.routes,
        ..HttpConfig::default()
    };
    if let Some(size) = arguments.pool_size {
        config.pool_size = size;
    }
    if let Some(ttl) = arguments.pool_ttl {
        config.pool_idle_timeout = ttl;
        config.pool_max_age = ttl;
    }
    unused_addresses("transport", "http", &arguments.addresses);
    Ok(Arc::new(HttpTransport::new(config)?))
}

/// It serves calls and no pages, so the routes are left out; it answers health and reflection in gRPC's own way.
#[cfg(feature = "grpc")]
fn grpc(arguments: PluginArguments) -> Result<Arc<dyn Transport>> {
    let mut config = micro_grpc::GrpcConfig {
        tls: arguments.tls,
        diagnostics: arguments.diagnostics,
        ..micro_grpc::GrpcConfig::default()
    };
    if let Some(size) = arguments.pool_size {
        config.connections = size;
    }
    if let Some(ttl) = arguments.pool_ttl {
        config.idle_timeout = ttl;
    }
    unused_addresses("transport", "grpc", &arguments.addresses);
    Ok(Arc::new(micro_grpc::GrpcTransport::new(config)?))
}

fn memory(transport: MemoryTransport, arguments: &PluginArguments) -> Result<Arc<dyn Transport>> {
    if arguments.tls.is_some() {
        return Err(wrong(
            "it has no encryption; leave out the TLS flags or choose --transport=http".into(),
        ));
    }
    unused_addresses("transport", "memory", &arguments.addresses);
    Ok(Arc::new(transport))
}

/// Of the HTTP broker, the address is where this side's subscriptions listen.
fn http_broker(arguments: PluginArguments) -> Result<Arc<dyn Broker>> {
    let Some(registry) = arguments.registry else {
        return Err(wrong(
            "it finds subscribers in a registry, and was given none".into(),
        ));
    };
    let mut config = HttpBrokerConfig::default();
    config.http.tls = arguments.tls;
    match arguments.addresses.as_slice() {
        [] => {}
        [address] => config.address.clone_from(address),
        several => {
            return Err(wrong(format!(
                "it listens at one address, not at {}; check --broker_address",
                several.join(",")
            )));
        }
    }
    Ok(Arc::new(HttpBroker::new(registry, config)?))
}

fn unused_addresses(kind: &str, name: &str, addresses: &[String]) {
    if !addresses.is_empty() {
        tracing::warn!(
            "the {kind} {name} needs no server: --{kind}_address {} is not used",
            addresses.join(",")
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::unknown;
    use super::*;

    #[test]
    fn the_table_holds_what_the_features_link() {
        let plugins = plugins();
        let registries: Vec<_> = plugins.registries().collect();
        let profiles: Vec<_> = plugins.profiles().collect();
        let linked = [
            ("consul", cfg!(feature = "consul")),
            ("dns", cfg!(feature = "dns")),
            ("etcd", cfg!(feature = "etcd")),
            ("gossip", cfg!(feature = "gossip")),
            ("kubernetes", cfg!(feature = "kubernetes")),
            ("mdns", cfg!(feature = "mdns")),
            ("memory", true),
            ("zookeeper", cfg!(feature = "zookeeper")),
        ];
        let linked = linked.iter().filter(|(_, linked)| *linked).map(|(name, _)| *name);
        assert_eq!(registries, linked.collect::<Vec<_>>());
        let expected: &[&str] = if cfg!(feature = "mdns") { &["local"] } else { &[] };
        assert_eq!(profiles, expected);
        let transports = [
            ("grpc", cfg!(feature = "grpc")),
            ("http", true),
            ("memory", true),
            ("rabbitmq", cfg!(feature = "rabbitmq-transport")),
        ];
        let transports = transports
            .iter()
            .filter(|(_, linked)| *linked)
            .map(|(name, _)| *name);
        assert!(plugins.transports().eq(transports));
        let brokers = [
            ("http", true),
            ("memory", true),
            ("rabbitmq", cfg!(feature = "rabbitmq")),
        ];
        let brokers = brokers
            .iter()
            .filter(|(_, linked)| *linked)
            .map(|(name, _)| *name);
        assert!(plugins.brokers().eq(brokers));
        assert!(plugins.strategies().eq(["hash", "p2c", "random", "roundrobin"]));
    }

    #[test]
    fn an_unknown_name_is_told_with_the_known_ones_and_the_feature() {
        assert_eq!(
            unknown("registry", "mdns", ["memory"].into_iter()),
            "the registry mdns is not linked into this program, which has: memory; \
             build it with the feature \"mdns\" of the crate `micro`"
        );
        assert_eq!(
            unknown("transport", "pigeon", ["http", "memory"].into_iter()),
            "no transport is called \"pigeon\"; this program has: http, memory"
        );
        assert!(unknown("registry", "x", [].into_iter()).ends_with("this program has: none"));
    }

    #[test]
    fn the_memory_transport_does_not_pretend_to_encrypt() {
        let arguments = PluginArguments {
            tls: Some(micro_core::transport::http::Tls::default()),
            ..PluginArguments::default()
        };
        let error = memory(MemoryTransport::new(), &arguments).err().unwrap();
        assert!(error.detail().contains("no encryption"), "{error}");
    }
}
