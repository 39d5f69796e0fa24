//! Sources with a server: where it is by the variables that the registries and brokers over it have too.

use micro_core::Error;

use super::super::super::SourceArguments;
use super::super::registries::consul_tls;
use super::super::variables::server_tls;
use super::{Made, misused};

#[cfg(feature = "consul-config")]
pub(super) fn consul(arguments: &SourceArguments) -> Made {
    use micro_consul_config::{ConsulAgents, ConsulSource, ConsulSourceConfig};

    let mut agents = ConsulAgents::default();
    if let Some(address) = arguments.variable("CONSUL_HTTP_ADDR") {
        agents.addresses = vec![address.to_owned()];
    }
    agents.token = arguments.variable("CONSUL_HTTP_TOKEN").map(str::to_owned);
    agents.tls = consul_tls(&arguments.as_plugin()).map_err(told)?;
    let config = ConsulSourceConfig::from_text(&arguments.text, agents)?;
    Ok(Box::new(ConsulSource::new(config)?))
}

#[cfg(feature = "etcd-config")]
pub(super) fn etcd(arguments: &SourceArguments) -> Made {
    use micro_etcd_config::{EtcdServers, EtcdSource, EtcdSourceConfig};

    let names = ["ETCD_CACERT", "ETCD_CERT", "ETCD_KEY"];
    let servers = EtcdServers {
        user: arguments.variable("ETCD_USERNAME").map(str::to_owned),
        password: arguments.variable("ETCD_PASSWORD").unwrap_or_default().to_owned(),
        tls: server_tls(&arguments.as_plugin(), names).map_err(told)?,
        ..EtcdServers::default()
    };
    let config = EtcdSourceConfig::from_text(&arguments.text, servers)?;
    Ok(Box::new(EtcdSource::new(config)?))
}

/// A URL says nothing of whom to believe and who asks.
#[cfg(feature = "http-config")]
pub(super) fn http(arguments: &SourceArguments) -> Made {
    use micro_config::Http;

    let mut source = Http::new(&format!("{}:{}", arguments.kind, arguments.text))?;
    if let Some(token) = arguments.variable("MICRO_CONFIG_HTTP_TOKEN") {
        source = source.bearer(token)?;
    }
    const CACERT: &str = "MICRO_CONFIG_HTTP_CACERT";
    if let Some(path) = arguments.variable(CACERT) {
        let pem = std::fs::read(path)
            .map_err(|problem| misused(format!("{CACERT}: the file {path} cannot be read: {problem}")))?;
        source = source.authorities(pem);
    }
    const INTERVAL: &str = "MICRO_CONFIG_HTTP_INTERVAL";
    if let Some(text) = arguments.variable(INTERVAL) {
        let interval = crate::arguments::parse_duration(text);
        source = source.interval(interval.map_err(|problem| misused(format!("{INTERVAL}: {problem}")))?);
    }
    Ok(Box::new(source))
}

#[cfg(feature = "kubernetes-config")]
pub(super) fn kubernetes(arguments: &SourceArguments) -> Made {
    use micro_kubernetes_config::{KubernetesSource, KubernetesSourceConfig};

    let variable = |name: &str| arguments.variable(name).map(str::to_owned);
    let config = KubernetesSourceConfig::from_text(&arguments.text, variable)?;
    Ok(Box::new(KubernetesSource::new(config)?))
}

#[cfg(feature = "nats-config")]
pub(super) fn nats(arguments: &SourceArguments) -> Made {
    use super::super::nats::{addresses, secure};
    use micro_nats_config::{NatsSource, NatsSourceConfig};

    let (named, text) = servers(&arguments.text);
    if named.iter().any(|server| server.contains('@')) {
        return Err(misused(
            "nats: a login does not belong into the text, where everybody can see it; say it by \
             MICRO_NATS_USERNAME and MICRO_NATS_PASSWORD",
        ));
    }
    let mut config = NatsSourceConfig::from_text(text)?;
    let usual = addresses(&arguments.as_plugin());
    if let Some(addresses) = [named, usual].into_iter().find(|addresses| !addresses.is_empty()) {
        config.servers.addresses = addresses;
    }
    secure(&mut config.servers, &arguments.as_plugin()).map_err(told)?;
    Ok(Box::new(NatsSource::new(config)?))
}

/// The servers that a text names between `//` and the next `/`, and what is left.
fn servers(text: &str) -> (Vec<String>, &str) {
    let Some(text) = text.strip_prefix("//") else {
        return (Vec::new(), text);
    };
    let (servers, rest) = text.split_once('/').unwrap_or((text, ""));
    let servers = servers.split(',').map(str::trim);
    let servers = servers.filter(|server| !server.is_empty());
    (servers.map(str::to_owned).collect(), rest)
}

fn told(error: Error) -> micro_config::Error {
    misused(error.detail())
}
