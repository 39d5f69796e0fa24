//! The plugins that this crate links, by feature.

#[allow(dead_code, unused_imports, reason = "a program may link none of them")]
mod brokers;
#[allow(dead_code, unused_imports, reason = "a program may link none of them")]
mod nats;
#[allow(dead_code, unused_imports, reason = "a program may link none of them")]
mod registries;
#[allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "a program may link none of them"
)]
mod rabbitmq;
#[cfg(feature = "config")]
mod sources;
#[allow(dead_code, unused_imports, reason = "a program may link none of them")]
mod transports;
#[allow(dead_code, reason = "a program may link nothing that asks")]
mod variables;

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
    ("broker", "nats", "nats"),
    ("registry", "nats", "nats-registry"),
    ("transport", "nats", "nats-transport"),
    ("profile", "nats", "nats-profile"),
    ("registry", "zookeeper", "zookeeper"),
    ("source", "consul", "consul-config"),
    ("source", "etcd", "etcd-config"),
    ("source", "http", "http-config"),
    ("source", "https", "http-config"),
    ("source", "nats", "nats-config"),
    ("source", "kubernetes", "kubernetes-config"),
    ("transport", "grpc", "grpc"),
    ("broker", "kafka", "kafka"),
    ("broker", "nsq", "nsq"),
    ("broker", "redis", "redis"),
    ("transport", "tcp", "tcp"),
    ("transport", "udp", "udp"),
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
    #[cfg(feature = "config")]
    let plugins = sources::all(plugins);
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
    #[cfg(feature = "tcp")]
    let plugins = plugins.transport("tcp", |arguments| async move { transports::tcp(arguments) });
    #[cfg(feature = "udp")]
    let plugins = plugins.transport("udp", |arguments| async move { transports::udp(arguments) });
    #[cfg(feature = "nats")]
    let plugins = plugins.broker("nats", nats::broker);
    #[cfg(feature = "nats-registry")]
    let plugins = plugins.registry("nats", nats::registry);
    #[cfg(feature = "nats-transport")]
    let plugins = plugins.transport("nats", nats::transport);
    #[cfg(feature = "nats-profile")]
    let plugins = plugins.profile(
        "nats",
        &[("registry", "nats"), ("transport", "nats"), ("broker", "nats")],
    );
    #[cfg(feature = "rabbitmq")]
    let plugins = plugins.broker("rabbitmq", rabbitmq::broker);
    #[cfg(feature = "rabbitmq-transport")]
    let plugins = plugins.transport("rabbitmq", rabbitmq::transport);
    #[cfg(feature = "zookeeper")]
    let plugins = plugins.registry("zookeeper", registries::zookeeper);
    #[cfg(feature = "kafka")]
    let plugins = plugins.broker("kafka", brokers::kafka);
    #[cfg(feature = "nsq")]
    let plugins = plugins.broker("nsq", brokers::nsq);
    #[cfg(feature = "redis")]
    let plugins = plugins.broker("redis", brokers::redis);
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
    if let Some(limit) = arguments.dial_timeout {
        config.connect_timeout = limit;
    }
    // Whoever links gRPC is called by it at the default port, too.
    #[cfg(feature = "grpc")]
    {
        let dialect = micro_grpc::GrpcDialect::new(micro_grpc::GrpcConfig {
            diagnostics: arguments.diagnostics,
            ..micro_grpc::GrpcConfig::default()
        });
        config.dialect = Some(Arc::new(dialect));
    }
    unused_addresses("transport", "http", &arguments.addresses);
    Ok(Arc::new(HttpTransport::new(config)?))
}

#[cfg(feature = "grpc")]
fn grpc(arguments: PluginArguments) -> Result<Arc<dyn Transport>> {
    let mut config = micro_grpc::GrpcConfig {
        tls: arguments.tls,
        diagnostics: arguments.diagnostics,
        routes: arguments.routes,
        ..micro_grpc::GrpcConfig::default()
    };
    if let Some(size) = arguments.pool_size {
        config.connections = size;
    }
    if let Some(ttl) = arguments.pool_ttl {
        config.idle_timeout = ttl;
    }
    if let Some(limit) = arguments.dial_timeout {
        config.connect_timeout = limit;
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
            ("nats", cfg!(feature = "nats-registry")),
            ("zookeeper", cfg!(feature = "zookeeper")),
        ];
        let linked = linked.iter().filter(|(_, linked)| *linked).map(|(name, _)| *name);
        assert_eq!(registries, linked.collect::<Vec<_>>());
        let of = |rows: &[(&'static str, bool)]| {
            let linked = rows.iter().filter(|(_, linked)| *linked);
            linked.map(|(name, _)| *name).collect::<Vec<_>>()
        };
        let expected = of(&[
            ("local", cfg!(feature = "mdns")),
            ("nats", cfg!(feature = "nats-profile")),
        ]);
        assert_eq!(profiles, expected);
        let transports = of(&[
            ("grpc", cfg!(feature = "grpc")),
            ("http", true),
            ("memory", true),
            ("nats", cfg!(feature = "nats-transport")),
            ("rabbitmq", cfg!(feature = "rabbitmq-transport")),
            ("tcp", cfg!(feature = "tcp")),
            ("udp", cfg!(feature = "udp")),
        ]);
        assert!(plugins.transports().eq(transports));
        let brokers = of(&[
            ("http", true),
            ("kafka", cfg!(feature = "kafka")),
            ("memory", true),
            ("nats", cfg!(feature = "nats")),
            ("nsq", cfg!(feature = "nsq")),
            ("rabbitmq", cfg!(feature = "rabbitmq")),
            ("redis", cfg!(feature = "redis")),
        ]);
        assert!(plugins.brokers().eq(brokers));
        assert!(plugins.strategies().eq(["hash", "p2c", "random", "roundrobin"]));
        #[cfg(feature = "config")]
        {
            let sources = of(&[
                ("consul", cfg!(feature = "consul-config")),
                ("env", true),
                ("etcd", cfg!(feature = "etcd-config")),
                ("file", true),
                ("http", cfg!(feature = "http-config")),
                ("https", cfg!(feature = "http-config")),
                ("kubernetes", cfg!(feature = "kubernetes-config")),
                ("nats", cfg!(feature = "nats-config")),
            ]);
            assert!(plugins.sources().eq(sources));
        }
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

    #[cfg(feature = "grpc")]
    #[tokio::test]
    async fn the_http_transport_is_called_over_grpc_too() {
        use micro_core::handler::{Request, Response, handler_fn};
        use micro_core::registry::Node;

        let echo = handler_fn(|mut request: Request| async move { Ok(Response::new(request.take_body())) });
        let (http, grpc) = (PluginArguments::default(), PluginArguments::default());
        let listener = super::http(http)
            .unwrap()
            .listen("127.0.0.1:0", Arc::new(echo))
            .await;
        let listener = listener.unwrap();
        let node = Node::new("node-1", listener.address());
        let peer = super::grpc(grpc).unwrap().dial(&node).await.unwrap();
        let response = peer.handle(Request::new("a", "B.C", "hello")).await.unwrap();
        assert_eq!(response.body.single().await.unwrap(), "hello");
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
