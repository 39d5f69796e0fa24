//! How the broker and the transport over RabbitMQ are made of flags and variables.

use std::sync::Arc;

use micro_core::Result;
use micro_core::backend::ServerTls;

use super::super::{PluginArguments, wrong};
use super::variables::{is_true, server_tls};

/// Says how to log in, and what to encrypt with: variables of RabbitMQ's own, or the TLS flags.
macro_rules! server {
    ($arguments:expr, $server:expr) => {{
        let (arguments, server) = ($arguments, $server);
        server.user = arguments.variable("MICRO_RABBITMQ_USERNAME").map(str::to_owned);
        server.password = arguments.variable("MICRO_RABBITMQ_PASSWORD").map(str::to_owned);
        server.tls = tls(arguments)?;
    }};
}

#[cfg(feature = "rabbitmq")]
pub(super) async fn broker(arguments: PluginArguments) -> Result<Arc<dyn micro_core::Broker>> {
    let config = broker_config(&arguments)?;
    Ok(Arc::new(micro_rabbitmq::RabbitmqBroker::connect(config).await?))
}

#[cfg(feature = "rabbitmq")]
fn broker_config(arguments: &PluginArguments) -> Result<micro_rabbitmq::RabbitmqConfig> {
    use micro_rabbitmq::{Durable, QueueNames, RabbitmqConfig};

    let mut config = RabbitmqConfig::from_addresses(&arguments.addresses)?;
    server!(arguments, &mut config.server);
    if let Some(exchange) = arguments.variable("MICRO_RABBITMQ_EXCHANGE") {
        config.exchange = Some(exchange.to_owned());
    }
    if is_true(arguments, "MICRO_RABBITMQ_DURABLE")? {
        config.durable = Durable::ALL;
    }
    config.queues.names = match arguments.variable("MICRO_RABBITMQ_QUEUE_NAMES") {
        None | Some("as-given") => QueueNames::AsGiven,
        Some("per-topic") => QueueNames::PerTopic,
        Some(other) => {
            return Err(wrong(format!(
                "MICRO_RABBITMQ_QUEUE_NAMES is {other:?}; write as-given or per-topic"
            )));
        }
    };
    Ok(config)
}

#[cfg(feature = "rabbitmq-transport")]
pub(super) async fn transport(arguments: PluginArguments) -> Result<Arc<dyn micro_core::Transport>> {
    use micro_rabbitmq_transport::{RabbitmqTransport, RabbitmqTransportConfig};

    let mut config = RabbitmqTransportConfig::from_addresses(&arguments.addresses)?;
    server!(&arguments, &mut config.server);
    if let Some(exchange) = arguments.variable("MICRO_RABBITMQ_EXCHANGE") {
        exchange.clone_into(&mut config.exchange);
    }
    config.durable_exchange = is_true(&arguments, "MICRO_RABBITMQ_DURABLE")?;
    Ok(Arc::new(RabbitmqTransport::connect(config).await?))
}

fn tls(arguments: &PluginArguments) -> Result<Option<ServerTls>> {
    let names = [
        "MICRO_RABBITMQ_CACERT",
        "MICRO_RABBITMQ_CERT",
        "MICRO_RABBITMQ_KEY",
    ];
    if let Some(tls) = server_tls(arguments, names)? {
        return Ok(Some(ServerTls {
            server_name: arguments
                .variable("MICRO_RABBITMQ_SERVER_NAME")
                .map(str::to_owned),
            ..tls
        }));
    }
    let Some(tls) = &arguments.tls else {
        return Ok(None);
    };
    if tls.accept_any_server {
        return Err(wrong(
            "RabbitMQ is believed by its authority alone; give --tls_ca".into(),
        ));
    }
    Ok(Some(ServerTls {
        authorities: tls.authorities.clone(),
        identity: tls.identity.clone(),
        server_name: tls.server_name.clone(),
    }))
}

#[cfg(all(test, feature = "rabbitmq"))]
mod tests {
    use super::*;

    #[test]
    fn the_variables_say_who_logs_in_and_what_lasts() {
        let of = |variables: &[(&str, &str)]| {
            let variables = variables
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()));
            broker_config(&PluginArguments {
                environment: Arc::new(variables.collect()),
                ..PluginArguments::default()
            })
        };
        let config = of(&[
            ("MICRO_RABBITMQ_USERNAME", "me"),
            ("MICRO_RABBITMQ_PASSWORD", "secret"),
            ("MICRO_RABBITMQ_EXCHANGE", "orders"),
            ("MICRO_RABBITMQ_DURABLE", "true"),
            ("MICRO_RABBITMQ_QUEUE_NAMES", "per-topic"),
        ])
        .unwrap();
        assert_eq!(
            (config.server.user.as_deref(), config.server.password.as_deref()),
            (Some("me"), Some("secret"))
        );
        assert_eq!(config.exchange.as_deref(), Some("orders"));
        assert_eq!(config.durable, micro_rabbitmq::Durable::ALL);
        assert_eq!(config.queues.names, micro_rabbitmq::QueueNames::PerTopic);
        for wrong in [
            ("MICRO_RABBITMQ_DURABLE", "perhaps"),
            ("MICRO_RABBITMQ_QUEUE_NAMES", "nice"),
        ] {
            assert!(of(&[wrong]).unwrap_err().detail().contains(wrong.0));
        }
    }
}
