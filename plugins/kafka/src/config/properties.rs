//! The configuration in librdkafka's words.

use std::time::Duration;

use micro_core::Result;
use rdkafka::ClientConfig;
use rdkafka::config::{NativeClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::{Assignment, Compression, KafkaConfig, SaslMechanism};
use crate::error;

/// How soon librdkafka tries to connect again, in milliseconds: at first, and at most.
const RECONNECT: (&str, &str) = ("100", "600");

/// How long a topic may be missing before it is gone.
const PROPAGATION: Duration = Duration::from_secs(1);

/// How often positions are committed.
const COMMIT: Duration = Duration::from_millis(100);

impl KafkaConfig {
    /// What publishes.
    pub(crate) fn producer(&self) -> Result<ClientConfig> {
        let mut client = self.client()?;
        set(&mut client, "enable.idempotence", self.idempotent);
        set(&mut client, "acks", "all");
        millis(&mut client, "queue.buffering.max.ms", self.linger);
        set(&mut client, "batch.size", self.batch_bytes);
        set(&mut client, "queue.buffering.max.messages", self.max_pending);
        set(
            &mut client,
            "queue.buffering.max.kbytes",
            (self.max_pending_bytes / 1024).max(1),
        );
        set(
            &mut client,
            "compression.codec",
            match self.compression {
                Compression::None => "none",
                Compression::Lz4 => "lz4",
                Compression::Snappy => "snappy",
            },
        );
        millis(&mut client, "message.timeout.ms", self.publish_timeout);
        millis(&mut client, "request.timeout.ms", self.request_timeout);
        // Only topics that are ready are published to; one that is missing is gone, and can be made again.
        millis(&mut client, "topic.metadata.propagation.max.ms", PROPAGATION);
        // Topics are made with the partitions that are asked for, and not in passing by a look at them.
        set(
            &mut client,
            "allow.auto.create.topics",
            self.create_topics.is_none(),
        );
        self.finish(client)
    }

    /// What is a member of a group.
    pub(crate) fn consumer(&self, group: &str) -> Result<ClientConfig> {
        let mut client = self.client()?;
        set(&mut client, "group.id", group);
        // What is committed is what is handed over as handled, and not what was fetched.
        set(&mut client, "enable.auto.commit", true);
        set(&mut client, "enable.auto.offset.store", false);
        millis(&mut client, "auto.commit.interval.ms", COMMIT);
        // Where a subscription begins is looked up when it is made. What is without a position later is what came since.
        set(&mut client, "auto.offset.reset", "earliest");
        set(
            &mut client,
            "partition.assignment.strategy",
            match self.assignment {
                Assignment::CooperativeSticky => "cooperative-sticky",
                Assignment::Range => "range",
                Assignment::RoundRobin => "roundrobin",
            },
        );
        millis(&mut client, "session.timeout.ms", self.session_timeout);
        millis(&mut client, "heartbeat.interval.ms", self.heartbeat_interval);
        set(
            &mut client,
            "queued.max.messages.kbytes",
            (self.prefetch_bytes / 1024).max(1),
        );
        set(&mut client, "queued.min.messages", 10_000);
        set(&mut client, "fetch.queue.backoff.ms", 10);
        set(&mut client, "fetch.error.backoff.ms", 100);
        set(&mut client, "topic.metadata.refresh.interval.ms", 5_000);
        self.finish(client)
    }

    fn client(&self) -> Result<ClientConfig> {
        if [
            self.publish_timeout,
            self.request_timeout,
            self.connect_timeout,
            self.subscribe_timeout,
        ]
        .iter()
        .any(Duration::is_zero)
        {
            return Err(error::misconfigured(
                "a timeout of zero lets nothing happen; give at least a millisecond",
            ));
        }
        let mut client = ClientConfig::new();
        client.set_log_level(RDKafkaLogLevel::Info);
        set(&mut client, "bootstrap.servers", self.bootstrap()?);
        set(&mut client, "client.id", &self.client_id);
        set(&mut client, "message.max.bytes", self.max_message_bytes);
        // Longer than a server may hold a fetch back.
        let request = self.request_timeout.max(Duration::from_millis(1_500));
        millis(&mut client, "socket.timeout.ms", request);
        millis(&mut client, "socket.connection.setup.timeout.ms", request);
        millis(&mut client, "api.version.request.timeout.ms", request);
        set(&mut client, "socket.nagle.disable", true);
        set(&mut client, "reconnect.backoff.ms", RECONNECT.0);
        set(&mut client, "reconnect.backoff.max.ms", RECONNECT.1);
        set(&mut client, "retry.backoff.max.ms", RECONNECT.1);
        set(&mut client, "log.connection.close", false);
        set(
            &mut client,
            "security.protocol",
            match (self.sasl.is_some(), self.tls.is_some()) {
                (false, false) => "plaintext",
                (false, true) => "ssl",
                (true, false) => "sasl_plaintext",
                (true, true) => "sasl_ssl",
            },
        );
        self.secure(&mut client);
        Ok(client)
    }

    fn secure(&self, client: &mut ClientConfig) {
        if let Some(sasl) = &self.sasl {
            set(
                client,
                "sasl.mechanisms",
                match sasl.mechanism {
                    SaslMechanism::Plain => "PLAIN",
                    SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
                    SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
                },
            );
            set(client, "sasl.username", &sasl.user);
            set(client, "sasl.password", &sasl.password);
        }
        if let Some(tls) = &self.tls {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            if !tls.authorities.is_empty() {
                set(client, "ssl.ca.pem", text(&tls.authorities));
            }
            if let Some(identity) = &tls.identity {
                set(client, "ssl.certificate.pem", text(&identity.certificates));
                set(client, "ssl.key.pem", text(&identity.key));
            }
        }
    }

    /// Adds the further properties, and looks whether librdkafka takes all of them and can what they ask for.
    fn finish(&self, mut client: ClientConfig) -> Result<ClientConfig> {
        self.check_features()?;
        for (name, value) in &self.properties {
            client.set(name, value);
        }
        client
            .create_native_config()
            .map_err(|problem| refused(&problem))?;
        Ok(client)
    }

    fn check_features(&self) -> Result<()> {
        let has = |feature: &str| features().is_ok_and(|all| all.split(',').any(|one| one.trim() == feature));
        let missing = |what: &str| {
            error::misconfigured(format!(
                "{what} needs librdkafka with OpenSSL, which this program was built without; name \
                 `rdkafka = {{ version = \"0.39\", default-features = false, features = [\"ssl\"] }}` among its dependencies"
            ))
        };
        if self.tls.is_some() && !has("ssl") {
            return Err(missing("an encrypted connection"));
        }
        match &self.sasl {
            Some(sasl) if sasl.mechanism != SaslMechanism::Plain && !has("sasl_scram") => {
                Err(missing("a login with SCRAM"))
            }
            _ => Ok(()),
        }
    }
}

/// What librdkafka was built with.
fn features() -> Result<String> {
    let native: Result<NativeClientConfig, KafkaError> = ClientConfig::new().create_native_config();
    let features = native.and_then(|native| native.get("builtin.features"));
    features.map_err(|problem| refused(&problem))
}

/// The value stays unsaid: it may be a password.
pub(crate) fn refused(problem: &KafkaError) -> micro_core::Error {
    match problem {
        KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, _, name, _) => error::misconfigured(
            format!("librdkafka knows no property {name:?}; check `properties`"),
        ),
        KafkaError::ClientConfig(_, _, name, _) => error::misconfigured(format!(
            "librdkafka does not take the value of {name:?}; check the option it stands for, and `properties`"
        )),
        other => error::misconfigured(format!("librdkafka cannot be set up: {other}")),
    }
}

fn set(client: &mut ClientConfig, name: &str, value: impl ToString) {
    client.set(name, value.to_string());
}

fn millis(client: &mut ClientConfig, name: &str, value: Duration) {
    set(client, name, value.as_millis());
}

#[cfg(test)]
mod tests {
    use super::super::{KafkaSasl, KafkaTls};
    use super::*;

    #[test]
    fn the_defaults_are_taken_by_librdkafka() {
        let config = KafkaConfig::default();
        assert_eq!(config.producer().unwrap().get("enable.idempotence"), Some("true"));
        let consumer = config.consumer("workers").unwrap();
        assert_eq!(consumer.get("group.id"), Some("workers"));
        assert_eq!(consumer.get("enable.auto.offset.store"), Some("false"));
    }

    #[test]
    fn further_properties_win_and_unknown_ones_are_named_without_their_value() {
        let with = |name: &str, value: &str| KafkaConfig {
            properties: vec![(name.into(), value.into())],
            ..KafkaConfig::default()
        };
        let client = with("client.id", "mine").producer().unwrap();
        assert_eq!(client.get("client.id"), Some("mine"));
        for (name, value) in [("no.such.thing", "secret"), ("security.protocol", "secret")] {
            let error = with(name, value).producer().unwrap_err();
            assert!(
                error.detail().contains(name) && !error.detail().contains("secret"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_this_build_cannot_do_is_said_with_how_to_have_it() {
        if features().unwrap().contains("ssl") {
            return;
        }
        let encrypted = KafkaConfig {
            tls: Some(KafkaTls::default()),
            ..KafkaConfig::default()
        };
        let challenged = KafkaConfig {
            sasl: Some(KafkaSasl {
                mechanism: SaslMechanism::ScramSha256,
                user: "me".into(),
                password: "secret".into(),
            }),
            ..KafkaConfig::default()
        };
        for config in [encrypted, challenged] {
            let error = config.producer().unwrap_err();
            assert!(error.detail().contains("features = [\"ssl\"]"), "{error}");
        }
    }
}
