//! How the registries are made of flags and variables.

use std::sync::Arc;

use micro_core::backend::ServerTls;
use micro_core::{Registry, Result};

use super::super::{PluginArguments, wrong};
use super::variables::server_tls;

type Connected = Result<Arc<dyn Registry>>;

#[cfg(feature = "mdns")]
pub(super) async fn mdns(arguments: PluginArguments) -> Connected {
    let config = micro_mdns::MdnsConfig::from_addresses(&arguments.addresses)?;
    Ok(Arc::new(micro_mdns::MdnsRegistry::connect(config).await?))
}

/// Consul's own variables say what its command line would take.
#[cfg(feature = "consul")]
pub(super) async fn consul(arguments: PluginArguments) -> Connected {
    let config = consul_config(&arguments)?;
    Ok(Arc::new(micro_consul::ConsulRegistry::connect(config).await?))
}

#[cfg(feature = "consul")]
fn consul_config(arguments: &PluginArguments) -> Result<micro_consul::ConsulConfig> {
    let named = arguments.variable("CONSUL_HTTP_ADDR").map(str::to_owned);
    let addresses = match arguments.addresses.as_slice() {
        [] => named.into_iter().collect(),
        addresses => addresses.to_vec(),
    };
    let mut config = micro_consul::ConsulConfig::from_addresses(&addresses)?;
    config.token = arguments.variable("CONSUL_HTTP_TOKEN").map(str::to_owned);
    config.tls = consul_tls(arguments)?;
    Ok(config)
}

/// How to speak TLS with Consul. None: no encryption is asked for.
pub(super) fn consul_tls(arguments: &PluginArguments) -> Result<Option<ServerTls>> {
    let is_wanted = match arguments.variable("CONSUL_HTTP_SSL") {
        None => None,
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Some(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => return Ok(None),
        Some(other) => {
            return Err(wrong(format!(
                "CONSUL_HTTP_SSL is {other:?}; write true or false"
            )));
        }
    };
    let names = ["CONSUL_CACERT", "CONSUL_CLIENT_CERT", "CONSUL_CLIENT_KEY"];
    match server_tls(arguments, names)? {
        None if is_wanted == Some(true) => Err(wrong(
            "CONSUL_HTTP_SSL is set without CONSUL_CACERT, the authorities whose agents are believed".into(),
        )),
        tls => Ok(tls.map(|tls| ServerTls {
            server_name: arguments.variable("CONSUL_TLS_SERVER_NAME").map(str::to_owned),
            ..tls
        })),
    }
}

#[cfg(feature = "dns")]
pub(super) async fn dns(arguments: PluginArguments) -> Connected {
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

/// etcd's own variables say what `etcdctl` would take.
#[cfg(feature = "etcd")]
pub(super) async fn etcd(arguments: PluginArguments) -> Connected {
    let mut config = micro_etcd::EtcdConfig::from_addresses(&arguments.addresses)?;
    config.user = arguments.variable("ETCD_USERNAME").map(str::to_owned);
    config.password = arguments.variable("ETCD_PASSWORD").unwrap_or_default().to_owned();
    config.tls = server_tls(&arguments, ["ETCD_CACERT", "ETCD_CERT", "ETCD_KEY"])?;
    Ok(Arc::new(micro_etcd::EtcdRegistry::connect(config).await?))
}

#[cfg(feature = "gossip")]
pub(super) async fn gossip(arguments: PluginArguments) -> Connected {
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

/// The variables are those that Kubernetes itself and `kubectl` have, and a token and an authority beside them.
#[cfg(feature = "kubernetes")]
pub(super) async fn kubernetes(arguments: PluginArguments) -> Connected {
    let variable = |name: &str| arguments.variable(name).map(str::to_owned);
    let config = micro_kubernetes::KubernetesConfig::from_addresses(&arguments.addresses, variable)?;
    let registry = micro_kubernetes::KubernetesRegistry::connect(config).await?;
    Ok(Arc::new(registry))
}

#[cfg(feature = "zookeeper")]
pub(super) async fn zookeeper(arguments: PluginArguments) -> Connected {
    let mut config = micro_zookeeper::ZookeeperConfig::from_addresses(&arguments.addresses)?;
    config.user = arguments.variable("ZOOKEEPER_USERNAME").map(str::to_owned);
    let password = arguments.variable("ZOOKEEPER_PASSWORD");
    config.password = password.unwrap_or_default().to_owned();
    let names = ["ZOOKEEPER_CACERT", "ZOOKEEPER_CERT", "ZOOKEEPER_KEY"];
    config.tls = server_tls(&arguments, names)?;
    let registry = micro_zookeeper::ZookeeperRegistry::connect(config).await?;
    Ok(Arc::new(registry))
}

#[cfg(all(test, feature = "consul"))]
mod tests {
    use super::super::variables::tests::with;
    use super::*;

    const THIS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

    #[test]
    fn consul_is_where_its_own_variables_say() {
        let of = |variables: &[(&str, &str)]| consul_config(&with(variables));
        assert_eq!(of(&[]).unwrap().agents, ["127.0.0.1:8500"]);
        let config = of(&[
            ("CONSUL_HTTP_ADDR", "192.0.2.1:8500"),
            ("CONSUL_HTTP_TOKEN", "secret"),
        ])
        .unwrap();
        assert_eq!(
            (config.agents[0].as_str(), config.token.as_deref()),
            ("192.0.2.1:8500", Some("secret"))
        );
        assert!(of(&[("CONSUL_CACERT", THIS)]).unwrap().tls.is_some());
        assert!(
            of(&[("CONSUL_CACERT", THIS), ("CONSUL_HTTP_SSL", "false")])
                .unwrap()
                .tls
                .is_none()
        );
        for wrong in ["true", "perhaps"] {
            let error = of(&[("CONSUL_HTTP_SSL", wrong)]).unwrap_err();
            assert!(error.detail().contains("CONSUL_HTTP_SSL"), "{error}");
        }
    }
}
