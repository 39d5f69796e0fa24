//! How the broker, the registry and the transport over NATS are made of flags and variables.

use std::sync::Arc;

use micro_core::backend::ServerTls;
use micro_core::{Broker, Registry, Result, Transport};

use super::super::{PluginArguments, wrong};
use super::variables::{is_true, server_tls};

#[cfg(feature = "nats")]
pub(super) async fn broker(arguments: PluginArguments) -> Result<Arc<dyn Broker>> {
    let mut config = micro_nats::NatsConfig::from_addresses(&addresses(&arguments))?;
    secure(&mut config.servers, &arguments)?;
    config.jetstream = jetstream(&arguments)?;
    Ok(Arc::new(micro_nats::NatsBroker::connect(config).await?))
}

#[cfg(feature = "nats-registry")]
pub(super) async fn registry(arguments: PluginArguments) -> Result<Arc<dyn Registry>> {
    let mut config = micro_nats_registry::NatsRegistryConfig::from_addresses(&addresses(&arguments))?;
    secure(&mut config.servers, &arguments)?;
    let registry = micro_nats_registry::NatsRegistry::connect(config).await?;
    Ok(Arc::new(registry))
}

#[cfg(feature = "nats-transport")]
pub(super) async fn transport(arguments: PluginArguments) -> Result<Arc<dyn Transport>> {
    if arguments.tls.is_some() {
        return Err(wrong(
            "it is encrypted as its server is: leave out the TLS flags, and set MICRO_NATS_CACERT".into(),
        ));
    }
    let mut config = micro_nats_transport::NatsTransportConfig::from_addresses(&addresses(&arguments))?;
    secure(&mut config.servers, &arguments)?;
    if let Some(size) = arguments.pool_size {
        config.pool_size = size;
    }
    if let Some(ttl) = arguments.pool_ttl {
        config.pool_idle_timeout = ttl;
    }
    if let Some(limit) = arguments.dial_timeout {
        config.connect_timeout = limit;
    }
    let transport = micro_nats_transport::NatsTransport::connect(config).await?;
    Ok(Arc::new(transport))
}

/// One variable says it for all three, where no flag does.
pub(super) fn addresses(arguments: &PluginArguments) -> Vec<String> {
    if !arguments.addresses.is_empty() {
        return arguments.addresses.clone();
    }
    let named = arguments.variable("MICRO_NATS_ADDRESS").unwrap_or_default();
    let named = named.split(',').map(str::trim);
    named.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(any(
    feature = "nats",
    feature = "nats-config",
    feature = "nats-registry",
    feature = "nats-transport"
))]
pub(super) fn secure(
    servers: &mut micro_nats_connection::NatsServers,
    arguments: &PluginArguments,
) -> Result<()> {
    servers.login = login(arguments)?;
    let names = ["MICRO_NATS_CACERT", "MICRO_NATS_CERT", "MICRO_NATS_KEY"];
    servers.tls = server_tls(arguments, names)?.map(|tls| ServerTls {
        server_name: arguments.variable("MICRO_NATS_SERVER_NAME").map(str::to_owned),
        ..tls
    });
    Ok(())
}

#[cfg(any(
    feature = "nats",
    feature = "nats-config",
    feature = "nats-registry",
    feature = "nats-transport"
))]
fn login(arguments: &PluginArguments) -> Result<Option<micro_nats_connection::NatsLogin>> {
    use micro_nats_connection::NatsLogin;

    let file = |variable: &str| match arguments.variable(variable) {
        None => Ok(None),
        Some(path) => std::fs::read_to_string(path)
            .map(Some)
            .map_err(|problem| wrong(format!("{variable}: the file {path} cannot be read: {problem}"))),
    };
    let user = arguments.variable("MICRO_NATS_USERNAME");
    let password = arguments.variable("MICRO_NATS_PASSWORD").unwrap_or_default();
    let logins = [
        user.map(|user| NatsLogin::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        }),
        arguments
            .variable("MICRO_NATS_TOKEN")
            .map(|token| NatsLogin::Token(token.to_owned())),
        file("MICRO_NATS_NKEY")?.map(NatsLogin::Nkey),
        file("MICRO_NATS_CREDENTIALS")?.map(NatsLogin::Credentials),
    ];
    let mut logins = logins.into_iter().flatten();
    match (logins.next(), logins.next()) {
        (login, None) => Ok(login),
        _ => Err(wrong(
            "MICRO_NATS_USERNAME, MICRO_NATS_TOKEN, MICRO_NATS_NKEY and MICRO_NATS_CREDENTIALS are several logins; set \
             one of them"
                .into(),
        )),
    }
}

/// Whether, and how, JetStream keeps the events.
#[cfg(feature = "nats")]
fn jetstream(arguments: &PluginArguments) -> Result<Option<micro_nats::JetStream>> {
    if !is_true(arguments, "MICRO_NATS_JETSTREAM")? {
        return Ok(None);
    }
    let mut jetstream = micro_nats::JetStream::default();
    if let Some(stream) = arguments.variable("MICRO_NATS_STREAM") {
        stream.clone_into(&mut jetstream.stream);
    }
    if let Some(subjects) = arguments.variable("MICRO_NATS_SUBJECTS") {
        let subjects = subjects.split(',').map(|subject| subject.trim().to_owned());
        jetstream.subjects = subjects.collect();
    }
    Ok(Some(jetstream))
}

#[cfg(all(test, feature = "nats"))]
mod tests {
    use micro_nats_connection::{NatsLogin, NatsServers};

    use super::super::variables::tests::with;
    use super::*;

    #[test]
    fn one_variable_says_where_nats_is_unless_a_flag_does() {
        let mut arguments = with(&[("MICRO_NATS_ADDRESS", "nats://one:1, two")]);
        assert_eq!(addresses(&arguments), ["nats://one:1", "two"]);
        arguments.addresses = vec!["three".into()];
        assert_eq!(addresses(&arguments), ["three"]);
        assert!(addresses(&with(&[])).is_empty());
    }

    #[test]
    fn one_login_counts_and_two_are_refused() {
        let mut servers = NatsServers::default();
        secure(&mut servers, &with(&[("MICRO_NATS_TOKEN", "secret")])).unwrap();
        assert_eq!(servers.login, Some(NatsLogin::Token("secret".into())));
        let two = with(&[("MICRO_NATS_TOKEN", "secret"), ("MICRO_NATS_USERNAME", "me")]);
        let error = secure(&mut servers, &two).unwrap_err();
        assert!(!error.detail().contains("secret"), "{error}");
        let missing = with(&[("MICRO_NATS_CREDENTIALS", "/nonexistent")]);
        let error = secure(&mut servers, &missing).unwrap_err();
        assert!(error.detail().contains("/nonexistent"), "{error}");
    }

    #[test]
    fn jetstream_is_asked_for() {
        assert!(jetstream(&with(&[])).unwrap().is_none());
        let variables = [
            ("MICRO_NATS_JETSTREAM", "true"),
            ("MICRO_NATS_STREAM", "shop"),
            ("MICRO_NATS_SUBJECTS", "orders.>, bills.>"),
        ];
        let found = jetstream(&with(&variables)).unwrap().unwrap();
        assert_eq!((found.stream.as_str(), found.subjects.len()), ("shop", 2));
        assert!(jetstream(&with(&[("MICRO_NATS_JETSTREAM", "perhaps")])).is_err());
    }
}
