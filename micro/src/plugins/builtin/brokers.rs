//! How the brokers with a server are made of flags and variables.

use std::sync::Arc;

use micro_core::{Broker, Result};

use super::super::{PluginArguments, wrong};
use super::variables::{chosen, number, server_tls};

type Connected = Result<Arc<dyn Broker>>;

#[cfg(feature = "kafka")]
pub(super) async fn kafka(arguments: PluginArguments) -> Connected {
    let config = kafka_config(&arguments)?;
    Ok(Arc::new(micro_kafka::KafkaBroker::connect(config).await?))
}

#[cfg(feature = "kafka")]
fn kafka_config(arguments: &PluginArguments) -> Result<micro_kafka::KafkaConfig> {
    use micro_kafka::{Assignment, Compression, Format, KafkaConfig, KafkaTls, NewTopics};

    let mut config = KafkaConfig::from_addresses(&arguments.addresses)?;
    let formats = [("envelope", Format::Envelope), ("headers", Format::Headers)];
    let assignments = [
        ("cooperative", Assignment::CooperativeSticky),
        ("range", Assignment::Range),
        ("roundrobin", Assignment::RoundRobin),
    ];
    let compressions = [
        ("none", Compression::None),
        ("lz4", Compression::Lz4),
        ("snappy", Compression::Snappy),
    ];
    config.format = chosen(arguments, "MICRO_KAFKA_FORMAT", &formats)?.unwrap_or_default();
    config.assignment = chosen(arguments, "MICRO_KAFKA_ASSIGNMENT", &assignments)?.unwrap_or_default();
    config.compression = chosen(arguments, "MICRO_KAFKA_COMPRESSION", &compressions)?.unwrap_or_default();
    config.key_header = arguments.variable("MICRO_KAFKA_KEY_HEADER").map(str::to_owned);
    config.create_topics = Some(NewTopics {
        partitions: number(arguments, "MICRO_KAFKA_PARTITIONS")?,
        replication: number(arguments, "MICRO_KAFKA_REPLICATION")?,
    });
    config.sasl = kafka_user(arguments)?;
    let names = ["MICRO_KAFKA_CACERT", "MICRO_KAFKA_CERT", "MICRO_KAFKA_KEY"];
    config.tls = server_tls(arguments, names)?.map(|tls| KafkaTls {
        authorities: tls.authorities,
        identity: tls.identity,
    });
    Ok(config)
}

#[cfg(feature = "kafka")]
fn kafka_user(arguments: &PluginArguments) -> Result<Option<micro_kafka::KafkaSasl>> {
    use micro_kafka::{KafkaSasl, SaslMechanism};

    let mechanisms = [
        ("plain", SaslMechanism::Plain),
        ("scram-sha-256", SaslMechanism::ScramSha256),
        ("scram-sha-512", SaslMechanism::ScramSha512),
    ];
    let mechanism = chosen(arguments, "MICRO_KAFKA_MECHANISM", &mechanisms)?.unwrap_or_default();
    let password = arguments.variable("MICRO_KAFKA_PASSWORD").unwrap_or_default();
    let user = arguments.variable("MICRO_KAFKA_USERNAME").map(|user| KafkaSasl {
        mechanism,
        user: user.to_owned(),
        password: password.to_owned(),
    });
    Ok(user)
}

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
    config.max_length = number(arguments, "MICRO_REDIS_MAX_LENGTH")?;
    let names = ["MICRO_REDIS_CACERT", "MICRO_REDIS_CERT", "MICRO_REDIS_KEY"];
    config.tls = server_tls(arguments, names)?;
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
    config.tls = server_tls(arguments, names)?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::super::variables::tests::with;
    use super::*;

    #[cfg(feature = "kafka")]
    #[test]
    fn kafka_is_as_its_variables_say() {
        use micro_kafka::{Assignment, Format, KafkaConfig, NewTopics, SaslMechanism};

        let of = |variables: &[(&str, &str)]| kafka_config(&with(variables));
        let config = of(&[]).unwrap();
        assert_eq!(config.servers, ["127.0.0.1:9092"]);
        assert_eq!(config.create_topics, KafkaConfig::default().create_topics);
        assert!(config.sasl.is_none() && config.tls.is_none());
        let config = of(&[
            ("MICRO_KAFKA_USERNAME", "me"),
            ("MICRO_KAFKA_PASSWORD", "secret"),
            ("MICRO_KAFKA_MECHANISM", "SCRAM-SHA-512"),
            ("MICRO_KAFKA_FORMAT", "headers"),
            ("MICRO_KAFKA_KEY_HEADER", "Customer"),
            ("MICRO_KAFKA_ASSIGNMENT", "range"),
            ("MICRO_KAFKA_PARTITIONS", "12"),
        ])
        .unwrap();
        let sasl = config.sasl.unwrap();
        assert_eq!((sasl.user.as_str(), sasl.password.as_str()), ("me", "secret"));
        assert_eq!(sasl.mechanism, SaslMechanism::ScramSha512);
        assert_eq!(
            (config.format, config.assignment),
            (Format::Headers, Assignment::Range)
        );
        assert_eq!(config.key_header.as_deref(), Some("Customer"));
        let topics = NewTopics {
            partitions: Some(12),
            replication: None,
        };
        assert_eq!(config.create_topics, Some(topics));
        for wrong in [
            ("MICRO_KAFKA_FORMAT", "xml"),
            ("MICRO_KAFKA_PARTITIONS", "many"),
            ("MICRO_KAFKA_MECHANISM", "trust"),
        ] {
            let error = of(&[wrong]).unwrap_err();
            assert!(error.detail().contains(wrong.0), "{error}");
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
