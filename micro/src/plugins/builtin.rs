//! The plugins that this crate links, by feature.

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
    ("registry", "dns", "dns"),
    ("registry", "etcd", "etcd"),
    ("registry", "gossip", "gossip"),
    ("registry", "kubernetes", "kubernetes"),
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
    let plugins = plugins.registry("mdns", mdns).profile(
        "local",
        &[("registry", "mdns"), ("transport", "http"), ("broker", "http")],
    );
    #[cfg(feature = "dns")]
    let plugins = plugins.registry("dns", dns);
    #[cfg(feature = "etcd")]
    let plugins = plugins.registry("etcd", etcd);
    #[cfg(feature = "gossip")]
    let plugins = plugins.registry("gossip", gossip);
    #[cfg(feature = "kubernetes")]
    let plugins = plugins.registry("kubernetes", kubernetes);
    plugins
}

#[cfg(feature = "mdns")]
async fn mdns(arguments: PluginArguments) -> Result<Arc<dyn Registry>> {
    let config = micro_mdns::MdnsConfig::from_addresses(&arguments.addresses)?;
    Ok(Arc::new(micro_mdns::MdnsRegistry::connect(config).await?))
}

#[cfg(feature = "dns")]
async fn dns(arguments: PluginArguments) -> Result<Arc<dyn Registry>> {
    let mut config = micro_dns::DnsConfig::from_addresses(&arguments.addresses)?;
    if let Some(pattern) = arguments.variable("MICRO_DNS_PATTERN") {
        pattern.clone_into(&mut config.pattern);
    }
    if let Some(domain) = arguments.variable("MICRO_DNS_DOMAIN") {
        domain.clone_into(&mut config.domain);
    }
    if let Some(protocol) = arguments.variable("MICRO_DNS_PROTOCOL") {
        config.metadata.insert("protocol".into(), protocol.into());
    }
    Ok(Arc::new(micro_dns::DnsRegistry::connect(config).await?))
}

#[cfg(feature = "etcd")]
async fn etcd(arguments: PluginArguments) -> Result<Arc<dyn Registry>> {
    let mut config = micro_etcd::EtcdConfig::from_addresses(&arguments.addresses)?;
    config.user = arguments.variable("ETCD_USERNAME").map(str::to_owned);
    config.password = arguments.variable("ETCD_PASSWORD").unwrap_or_default().to_owned();
    config.tls = etcd_tls(&arguments)?;
    Ok(Arc::new(micro_etcd::EtcdRegistry::connect(config).await?))
}

/// The files that etcd's own variables name, as `etcdctl` has them.
#[cfg(feature = "etcd")]
fn etcd_tls(arguments: &PluginArguments) -> Result<Option<micro_etcd::EtcdTls>> {
    let file = |variable: &str| match arguments.variable(variable) {
        None => Ok(None),
        Some(path) => std::fs::read(path)
            .map(Some)
            .map_err(|problem| wrong(format!("{variable}: the file {path} cannot be read: {problem}"))),
    };
    let identity = match (file("ETCD_CERT")?, file("ETCD_KEY")?) {
        (Some(certificates), Some(key)) => Some(micro_core::transport::http::Identity { certificates, key }),
        (None, None) => None,
        _ => {
            return Err(wrong(
                "ETCD_CERT and ETCD_KEY belong together; set both or neither".into(),
            ));
        }
    };
    match (file("ETCD_CACERT")?, identity) {
        (Some(authorities), identity) => Ok(Some(micro_etcd::EtcdTls {
            authorities,
            identity,
            server_name: None,
        })),
        (None, Some(_)) => Err(wrong(
            "ETCD_CERT is set without ETCD_CACERT, the authorities whose servers are believed".into(),
        )),
        (None, None) => Ok(None),
    }
}

/// The variables that Kubernetes itself and `kubectl` have, and a token and an authority beside them.
#[cfg(feature = "kubernetes")]
async fn kubernetes(arguments: PluginArguments) -> Result<Arc<dyn Registry>> {
    let variable = |name: &str| arguments.variable(name).map(str::to_owned);
    let config = micro_kubernetes::KubernetesConfig::from_addresses(&arguments.addresses, variable)?;
    Ok(Arc::new(
        micro_kubernetes::KubernetesRegistry::connect(config).await?,
    ))
}

#[cfg(feature = "gossip")]
async fn gossip(arguments: PluginArguments) -> Result<Arc<dyn Registry>> {
    let mut config = micro_gossip::GossipConfig::from_addresses(&arguments.addresses)?;
    config.listen = socket_address(&arguments, "MICRO_GOSSIP_LISTEN")?;
    config.advertise = socket_address(&arguments, "MICRO_GOSSIP_ADVERTISE")?;
    if let Some(cluster) = arguments.variable("MICRO_GOSSIP_CLUSTER") {
        cluster.clone_into(&mut config.cluster);
    }
    let key = arguments
        .variable("MICRO_GOSSIP_KEY")
        .map(micro_gossip::GossipKey::new);
    config.key = key.transpose()?;
    Ok(Arc::new(micro_gossip::GossipRegistry::connect(config).await?))
}

#[cfg(feature = "gossip")]
fn socket_address(arguments: &PluginArguments, variable: &str) -> Result<Option<std::net::SocketAddr>> {
    let parse = |text: &str| {
        let problem = |_| {
            wrong(format!(
                "{variable}: {text:?} is no address such as 192.0.2.7:7946"
            ))
        };
        text.parse().map_err(problem)
    };
    arguments.variable(variable).map(parse).transpose()
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
            ("dns", cfg!(feature = "dns")),
            ("etcd", cfg!(feature = "etcd")),
            ("gossip", cfg!(feature = "gossip")),
            ("kubernetes", cfg!(feature = "kubernetes")),
            ("mdns", cfg!(feature = "mdns")),
            ("memory", true),
        ];
        let linked = linked.iter().filter(|(_, linked)| *linked).map(|(name, _)| *name);
        assert_eq!(registries, linked.collect::<Vec<_>>());
        let expected: &[&str] = if cfg!(feature = "mdns") { &["local"] } else { &[] };
        assert_eq!(profiles, expected);
        assert!(plugins.transports().eq(["http", "memory"]));
        assert!(plugins.brokers().eq(["http", "memory"]));
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

    #[cfg(feature = "etcd")]
    #[test]
    fn etcds_variables_belong_together() {
        let with = |variables: &[(&str, &str)]| {
            let variables = variables
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()));
            etcd_tls(&PluginArguments {
                environment: Arc::new(variables.collect()),
                ..PluginArguments::default()
            })
        };
        let this = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert!(with(&[]).unwrap().is_none());
        assert!(with(&[("ETCD_CACERT", this)]).unwrap().is_some());
        let both = with(&[("ETCD_CACERT", this), ("ETCD_CERT", this), ("ETCD_KEY", this)]);
        assert!(both.unwrap().unwrap().identity.is_some());
        let wrong: [&[(&str, &str)]; 3] = [
            &[("ETCD_CACERT", "/nonexistent")],
            &[("ETCD_CACERT", this), ("ETCD_KEY", this)],
            &[("ETCD_CERT", this), ("ETCD_KEY", this)],
        ];
        for variables in wrong {
            let error = with(variables).unwrap_err();
            assert!(error.detail().contains("ETCD_C"), "{error}");
        }
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
