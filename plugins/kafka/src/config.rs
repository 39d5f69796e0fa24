//! Where Kafka is, and how to speak with it.

mod properties;

use std::fmt;
use std::time::Duration;

use micro_core::Result;
use micro_core::transport::http::Identity;

use crate::error;

/// How to reach Kafka and what to write there. The default meets Go Micro's services at a Kafka of this machine.
#[derive(Clone)]
pub struct KafkaConfig {
    /// Servers of the cluster, each as `host` or `host:port`; the others are learnt from them. Without a port, 9092.
    /// Default: `127.0.0.1:9092`.
    pub servers: Vec<String>,
    /// The name by which the servers' logs and quotas know this program. Default: `micro`.
    pub client_id: String,
    /// How a message becomes a record, and a record a message. Default: the envelope, as Go Micro.
    pub format: Format,
    /// The header of a message whose value is its record's key: records of one key keep their order in a topic of many
    /// partitions. Default: none, records have no key, as Go Micro.
    pub key_header: Option<String>,
    /// Whether the servers leave out what librdkafka sends twice after a lost connection. Needs the right
    /// `IdempotentWrite` where a cluster is older than Kafka 2.8 and has access lists. Default: yes.
    pub idempotent: bool,
    /// How long a record waits for others to be sent together. Default: 0, those that wait anyway go together.
    pub linger: Duration,
    /// How many bytes of records go together at most. Default: 1,000,000.
    pub batch_bytes: usize,
    /// How records are compressed. Default: not at all.
    pub compression: Compression,
    /// How large a record may be, in bytes. The topic has a limit of its own, `max.message.bytes`. Default: 1,000,000.
    pub max_message_bytes: usize,
    /// How many messages may wait for their confirmation; further ones wait for room. Default: 10,000.
    pub max_pending: usize,
    /// How many bytes may wait for their confirmation. Default: 64 MiB.
    pub max_pending_bytes: usize,
    /// How long publishing may take, all attempts together. Default: 10 s.
    pub publish_timeout: Duration,
    /// How topics are made that do not exist when they are published or subscribed to. `None`: they are not, except by
    /// the servers themselves where they have `auto.create.topics.enable`. Default: with the servers' own numbers.
    pub create_topics: Option<NewTopics>,
    /// How the members of a queue share its partitions. All of them must agree. Default: cooperatively.
    pub assignment: Assignment,
    /// After how long without a sign of life a member's partitions go to others. The servers allow 6 s to 30 min.
    /// Default: 10 s.
    pub session_timeout: Duration,
    /// How often a member gives a sign of life, and learns of others that come and go. Default: 500 ms.
    pub heartbeat_interval: Duration,
    /// How long subscribing may take, until the partitions are assigned. Default: 30 s.
    pub subscribe_timeout: Duration,
    /// How many bytes a subscription fetches ahead of its handlers. Default: 8 MiB.
    pub prefetch_bytes: usize,
    /// How long [`KafkaBroker::connect`](crate::KafkaBroker::connect) tries. Default: 5 s.
    pub connect_timeout: Duration,
    /// How long one request may take before its connection is given up. Default: 5 s.
    pub request_timeout: Duration,
    /// The user to log in as. Default: none.
    pub sasl: Option<KafkaSasl>,
    /// Whom to believe and what to show. With it connections are encrypted, for which the program has to build
    /// librdkafka with OpenSSL. Default: none.
    pub tls: Option<KafkaTls>,
    /// Further properties of librdkafka, which win over all of the above. Default: none.
    pub properties: Vec<(String, String)>,
}

/// How a message becomes a record's value and headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// The value is Go Micro's JSON with headers and body; the record has no headers.
    #[default]
    Envelope,
    /// The value is the body, the record's headers are the message's. Go Micro does not read it.
    Headers,
}

/// How records are compressed. Reading understands these without being told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// LZ4.
    Lz4,
    /// Snappy.
    Snappy,
}

/// How new topics are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NewTopics {
    /// How many partitions they get: as many members of a queue can work at once. Default: `num.partitions` of the
    /// servers.
    pub partitions: Option<u16>,
    /// On how many servers each partition is kept. Default: `default.replication.factor` of the servers.
    pub replication: Option<u16>,
}

/// How the members of a queue share its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Assignment {
    /// Only partitions that change hands pause when members come and go.
    #[default]
    CooperativeSticky,
    /// As Go Micro's: whoever shares a queue with Go services needs this.
    Range,
    /// One after the other, in turns.
    RoundRobin,
}

/// The user to log in as.
#[derive(Clone)]
pub struct KafkaSasl {
    /// How the password is proved.
    pub mechanism: SaslMechanism,
    /// The user's name.
    pub user: String,
    /// The user's password.
    pub password: String,
}

/// How a password is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SaslMechanism {
    /// It is sent as it is: for encrypted connections, and for networks that nobody else is in.
    #[default]
    Plain,
    /// A challenge is answered. Needs librdkafka built with OpenSSL.
    ScramSha256,
    /// Likewise, with a longer hash.
    ScramSha512,
}

/// How to speak TLS with Kafka. All texts are PEM.
#[derive(Clone, Default)]
pub struct KafkaTls {
    /// The authorities whose servers are believed. Empty: those of the system.
    pub authorities: Vec<u8>,
    /// What this side shows, for servers with `ssl.client.auth`.
    pub identity: Option<Identity>,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            servers: vec!["127.0.0.1:9092".to_owned()],
            client_id: "micro".to_owned(),
            format: Format::default(),
            key_header: None,
            idempotent: true,
            linger: Duration::ZERO,
            batch_bytes: 1_000_000,
            compression: Compression::default(),
            max_message_bytes: 1_000_000,
            max_pending: 10_000,
            max_pending_bytes: 64 * 1024 * 1024,
            publish_timeout: Duration::from_secs(10),
            create_topics: Some(NewTopics::default()),
            assignment: Assignment::default(),
            session_timeout: Duration::from_secs(10),
            heartbeat_interval: Duration::from_millis(500),
            subscribe_timeout: Duration::from_secs(30),
            prefetch_bytes: 8 * 1024 * 1024,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(5),
            sasl: None,
            tls: None,
            properties: Vec::new(),
        }
    }
}

impl KafkaConfig {
    /// Takes the texts of `--broker_address` as [`servers`](Self::servers). None: the default.
    ///
    /// # Errors
    ///
    /// When a text is no address.
    pub fn from_addresses(addresses: &[String]) -> Result<Self> {
        let mut config = Self::default();
        if !addresses.is_empty() {
            config.servers = addresses.to_vec();
        }
        config.bootstrap()?;
        Ok(config)
    }

    /// The servers as errors name them.
    pub(crate) fn named_servers(&self) -> String {
        self.servers.join(",")
    }

    /// The servers as librdkafka wants them: with their ports, and commas between.
    fn bootstrap(&self) -> Result<String> {
        if self.servers.is_empty() {
            return Err(error::misconfigured(
                "there is no server; name one such as 127.0.0.1:9092",
            ));
        }
        let whole: Result<Vec<String>> = self.servers.iter().map(|server| address(server)).collect();
        Ok(whole?.join(","))
    }
}

/// An address with its port.
fn address(text: &str) -> Result<String> {
    let text = text.trim();
    let wrong = |why: &str| {
        error::misconfigured(format!(
            "the address {text:?} {why}; write host or host:port, such as 127.0.0.1:9092"
        ))
    };
    let rest = text.strip_prefix("kafka://").unwrap_or(text);
    let (host, port) = match rest.rsplit_once(':') {
        // An IPv6 address has colons of its own.
        Some((host, _)) if host.contains(':') && !host.ends_with(']') => (format!("[{rest}]"), "9092"),
        Some((host, port)) => (host.to_owned(), port),
        None => (rest.to_owned(), "9092"),
    };
    let host = if host.is_empty() && rest.starts_with(':') {
        "127.0.0.1".to_owned()
    } else {
        host
    };
    let is_host_character =
        |character: char| character.is_ascii_alphanumeric() || "-._[]:%".contains(character);
    if host.is_empty() || !host.chars().all(is_host_character) {
        return Err(wrong("has no host"));
    }
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(format!("{host}:{port}")),
        _ => Err(wrong("has a port that is none")),
    }
}

impl fmt::Debug for KafkaConfig {
    // Passwords and keys are left out; properties may be such.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let properties: Vec<&str> = self.properties.iter().map(|(name, _)| name.as_str()).collect();
        formatter
            .debug_struct("KafkaConfig")
            .field("servers", &self.servers)
            .field("client_id", &self.client_id)
            .field("format", &self.format)
            .field("key_header", &self.key_header)
            .field("create_topics", &self.create_topics)
            .field("assignment", &self.assignment)
            .field("sasl", &self.sasl)
            .field("tls", &self.tls)
            .field("properties", &properties)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for KafkaSasl {
    // The password is left out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KafkaSasl")
            .field("mechanism", &self.mechanism)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for KafkaTls {
    // The key is left out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KafkaTls")
            .field("shows_certificate", &self.identity.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_leave_out_what_is_usual() {
        let rows = [
            ("127.0.0.1", "127.0.0.1:9092"),
            (" kafka.example:19092 ", "kafka.example:19092"),
            ("kafka://kafka:1", "kafka:1"),
            ("[::1]:99", "[::1]:99"),
            ("::1", "[::1]:9092"),
            (":99", "127.0.0.1:99"),
        ];
        for (text, expected) in rows {
            assert_eq!(address(text).unwrap(), expected);
        }
        for text in [
            "",
            "http://kafka",
            "kafka:x",
            "kafka:0",
            "kafka:99999",
            "a b",
            "a,b",
        ] {
            let error = KafkaConfig::from_addresses(&[text.to_owned()]).unwrap_err();
            assert!(error.detail().contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn secrets_stay_unseen() {
        let config = KafkaConfig {
            sasl: Some(KafkaSasl {
                mechanism: SaslMechanism::Plain,
                user: "me".into(),
                password: "secret".into(),
            }),
            properties: vec![("ssl.key.password".into(), "secret".into())],
            ..KafkaConfig::default()
        };
        let seen = format!("{config:?}");
        assert!(seen.contains("me") && !seen.contains("secret"), "{seen}");
    }
}
