//! How the brokers with a server are made of flags and variables.

use std::sync::Arc;

use micro_core::{Broker, Result};

use super::super::{PluginArguments, wrong};
use super::registries::files;

type Connected = Result<Arc<dyn Broker>>;

#[cfg(feature = "redis")]
pub(super) async fn redis(arguments: PluginArguments) -> Connected {
    let config = redis_config(&arguments)?;
    Ok(Arc::new(micro_redis::RedisBroker::connect(config).await?))
}

#[cfg(feature = "redis")]
fn redis_config(arguments: &PluginArguments) -> Result<micro_redis::RedisConfig> {
    let mut config = micro_redis::RedisConfig::from_addresses(&arguments.addresses)?;
    config.user = arguments.variable("MICRO_REDIS_USERNAME").map(str::to_owned);
    let password = arguments.variable("MICRO_REDIS_PASSWORD");
    config.password = password.unwrap_or_default().to_owned();
    config.pub_sub = match arguments.variable("MICRO_REDIS_MODE") {
        None | Some("streams") => false,
        Some("pubsub") => true,
        Some(other) => {
            return Err(wrong(format!(
                "MICRO_REDIS_MODE is {other:?}; write streams, or pubsub for Go Micro's channels"
            )));
        }
    };
    if let Some(prefix) = arguments.variable("MICRO_REDIS_PREFIX") {
        prefix.clone_into(&mut config.prefix);
    }
    let length = arguments.variable("MICRO_REDIS_MAX_LENGTH").map(|text| {
        text.parse()
            .map_err(|_| wrong(format!("MICRO_REDIS_MAX_LENGTH is {text:?}; write a number")))
    });
    config.max_length = length.transpose()?;
    let names = ["MICRO_REDIS_CACERT", "MICRO_REDIS_CERT", "MICRO_REDIS_KEY"];
    config.tls = files(arguments, names)?.map(|(authorities, identity)| micro_redis::RedisTls {
        authorities,
        identity,
        server_name: None,
    });
    Ok(config)
}

#[cfg(feature = "nsq")]
pub(super) async fn nsq(arguments: PluginArguments) -> Connected {
    let config = nsq_config(&arguments)?;
    Ok(Arc::new(micro_nsq::NsqBroker::connect(config).await?))
}

#[cfg(feature = "nsq")]
fn nsq_config(arguments: &PluginArguments) -> Result<micro_nsq::NsqConfig> {
    let mut config = micro_nsq::NsqConfig::from_addresses(&arguments.addresses)?;
    let lookupds = arguments.variable("MICRO_NSQ_LOOKUPD").unwrap_or_default();
    config.lookupds = lookupds
        .split(',')
        .map(str::trim)
        .filter(|address| !address.is_empty())
        .map(str::to_owned)
        .collect();
    config.secret = arguments.variable("MICRO_NSQ_SECRET").map(str::to_owned);
    let names = ["MICRO_NSQ_CACERT", "MICRO_NSQ_CERT", "MICRO_NSQ_KEY"];
    config.tls = files(arguments, names)?.map(|(authorities, identity)| micro_nsq::NsqTls {
        authorities,
        identity,
        server_name: None,
    });
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> PluginArguments {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        PluginArguments {
            environment: Arc::new(variables.collect()),
            ..PluginArguments::default()
        }
    }

    #[cfg(feature = "redis")]
    #[test]
    fn redis_is_as_its_variables_say() {
        let of = |variables: &[(&str, &str)]| redis_config(&with(variables));
        let config = of(&[]).unwrap();
        assert_eq!(
            (config.address.as_str(), config.pub_sub),
            ("redis://127.0.0.1:6379", false)
        );
        let config = of(&[
            ("MICRO_REDIS_USERNAME", "me"),
            ("MICRO_REDIS_PASSWORD", "secret"),
            ("MICRO_REDIS_MODE", "pubsub"),
            ("MICRO_REDIS_MAX_LENGTH", "1000"),
        ])
        .unwrap();
        assert_eq!(
            (config.user.as_deref(), config.password.as_str()),
            (Some("me"), "secret")
        );
        assert_eq!((config.pub_sub, config.max_length), (true, Some(1000)));
        for wrong in [("MICRO_REDIS_MODE", "lists"), ("MICRO_REDIS_MAX_LENGTH", "many")] {
            let error = of(&[wrong]).unwrap_err();
            assert!(error.detail().contains(wrong.0), "{error}");
        }
    }

    #[cfg(feature = "nsq")]
    #[test]
    fn nsq_is_as_its_variables_say() {
        let of = |variables: &[(&str, &str)]| nsq_config(&with(variables)).unwrap();
        assert_eq!(of(&[]).nsqds, ["127.0.0.1:4150"]);
        let config = of(&[
            ("MICRO_NSQ_LOOKUPD", "192.0.2.1, 192.0.2.2:4161"),
            ("MICRO_NSQ_SECRET", "secret"),
        ]);
        assert_eq!(config.lookupds, ["192.0.2.1", "192.0.2.2:4161"]);
        assert_eq!(config.secret.as_deref(), Some("secret"));
    }
}
