//! Where NSQ's servers are, and how to speak with them.

use std::fmt;
use std::time::Duration;

use micro_core::Result;
use micro_core::backend::{ServerTls, host_and_port};

use crate::error;

/// How to reach NSQ. The default uses the nsqd of this machine, as Go Micro.
#[derive(Clone)]
pub struct NsqConfig {
    /// The nsqds, each as `host` or `host:port`; without a port, 4150. Messages are published to one of them in turn, and
    /// subscriptions take from all. May be empty where there are [`lookupds`](Self::lookupds) and nothing is published.
    /// Default: `127.0.0.1:4150`.
    pub nsqds: Vec<String>,
    /// The directories that know which nsqds have a topic: `host`, `host:port` or `http://host:port` of their HTTP
    /// interface; without a port, 4161. Subscriptions take from these nsqds too. Default: none.
    pub lookupds: Vec<String>,
    /// How often the directories are asked, more or less a quarter. Default: 15 s.
    pub lookup_every: Duration,
    /// The secret that is shown to an nsqd which asks for authorization. Default: none.
    pub secret: Option<String>,
    /// Whom to believe and what to show. With it, connections to nsqds are encrypted. Default: none.
    pub tls: Option<NsqTls>,
    /// By how much a rejected message is held back, times how often it was given out. At most an hour. Default: 100 ms.
    pub requeue_delay: Duration,
    /// How long an nsqd waits for the fate of a message before it gives it to another, also when the connection is lost; it
    /// is told in time that somebody works on it. 1 s to 15 min. None: as the nsqd is configured, which is 1 min by its
    /// own default. Default: 10 s.
    pub message_timeout: Option<Duration>,
    /// How often an nsqd shows that it is alive. One that shows nothing for two and a half times as long counts as lost.
    /// 1 s to 1 min. Default: 2 s.
    pub heartbeat: Duration,
    /// The largest message that is read or published, in bytes, with headers and in base64. Default: 1 MiB, as nsqd's
    /// `-max-msg-size`.
    pub max_message: usize,
    /// How long connecting to one server may take. Default: 2 s.
    pub connect_timeout: Duration,
    /// How long an nsqd may take to answer before its connection counts as lost. Default: 3 s.
    pub response_timeout: Duration,
    /// How long publishing tries to have a message confirmed, all nsqds together. Default: 10 s.
    pub publish_timeout: Duration,
    /// How many messages may be on their way to each nsqd; more wait. Default: 1024.
    pub max_pending: usize,
}

/// How to speak TLS with nsqds. One with `-tls-client-auth-policy` wants an identity.
pub type NsqTls = ServerTls;

impl Default for NsqConfig {
    fn default() -> Self {
        Self {
            nsqds: vec!["127.0.0.1:4150".to_owned()],
            lookupds: Vec::new(),
            lookup_every: Duration::from_secs(15),
            secret: None,
            tls: None,
            requeue_delay: Duration::from_millis(100),
            message_timeout: Some(Duration::from_secs(10)),
            heartbeat: Duration::from_secs(2),
            max_message: 1024 * 1024,
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(3),
            publish_timeout: Duration::from_secs(10),
            max_pending: 1024,
        }
    }
}

impl NsqConfig {
    /// Takes the texts of `--broker_address` as [`nsqds`](Self::nsqds). None: the default.
    ///
    /// # Errors
    ///
    /// When a text is no address.
    pub fn from_addresses(addresses: &[String]) -> Result<Self> {
        let mut config = Self::default();
        if !addresses.is_empty() {
            config.nsqds = addresses.to_vec();
        }
        for address in &config.nsqds {
            nsqd(address)?;
        }
        Ok(config)
    }

    /// Whether the configuration makes sense, and what it says of servers: nsqds and directories.
    pub(crate) fn check(&self) -> Result<(Vec<String>, Vec<String>)> {
        let times = [
            self.lookup_every,
            self.connect_timeout,
            self.response_timeout,
            self.publish_timeout,
        ];
        if times.into_iter().any(|time| time < Duration::from_millis(1)) {
            return Err(error::misconfigured(
                "a time of zero lets nothing happen; give at least a millisecond",
            ));
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(60)).contains(&self.heartbeat) {
            return Err(error::misconfigured(format_args!(
                "`heartbeat` is {:?}; nsqd allows for 1 s to 1 min",
                self.heartbeat
            )));
        }
        let timeouts = Duration::from_secs(1)..=Duration::from_secs(15 * 60);
        if let Some(timeout) = self.message_timeout.filter(|timeout| !timeouts.contains(timeout)) {
            return Err(error::misconfigured(format_args!(
                "`message_timeout` is {timeout:?}; nsqd allows for 1 s to 15 min"
            )));
        }
        if self.requeue_delay > Duration::from_secs(60 * 60) {
            return Err(error::misconfigured(format_args!(
                "`requeue_delay` is {:?}; nsqd allows for an hour",
                self.requeue_delay
            )));
        }
        if self.max_pending == 0 || self.max_message == 0 {
            return Err(error::misconfigured(
                "`max_pending` or `max_message` of 0 lets nothing out; give at least 1",
            ));
        }
        if self.nsqds.is_empty() && self.lookupds.is_empty() {
            return Err(error::misconfigured(
                "there is neither an nsqd nor a directory; name one such as 127.0.0.1:4150",
            ));
        }
        let nsqds = self.nsqds.iter().map(|address| nsqd(address));
        let lookupds = self.lookupds.iter().map(|address| lookupd(address));
        Ok((nsqds.collect::<Result<_>>()?, lookupds.collect::<Result<_>>()?))
    }
}

/// The address of an nsqd, whole: `host:port`.
fn nsqd(address: &str) -> Result<String> {
    host_and_port(address.trim(), 4150)
        .map_err(|why| wrong(address, why, "host or host:port", "127.0.0.1:4150"))
}

/// The address of a directory, whole: `http://host:port`.
fn lookupd(address: &str) -> Result<String> {
    let wrong = |why| {
        wrong(
            address,
            why,
            "host, host:port or http://host:port",
            "127.0.0.1:4161",
        )
    };
    let text = address.trim();
    let text = text.strip_prefix("http://").unwrap_or(text);
    let text = text.strip_suffix('/').unwrap_or(text);
    Ok(format!("http://{}", host_and_port(text, 4161).map_err(wrong)?))
}

fn wrong(address: &str, why: &str, form: &str, example: &str) -> micro_core::Error {
    error::misconfigured(format_args!(
        "the address {:?}: {why}; write {form}, such as {example}",
        address.trim()
    ))
}

impl fmt::Debug for NsqConfig {
    // The secret is left out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NsqConfig")
            .field("nsqds", &self.nsqds)
            .field("lookupds", &self.lookupds)
            .field("lookup_every", &self.lookup_every)
            .field("has_secret", &self.secret.is_some())
            .field("tls", &self.tls)
            .field("requeue_delay", &self.requeue_delay)
            .field("message_timeout", &self.message_timeout)
            .field("heartbeat", &self.heartbeat)
            .field("max_message", &self.max_message)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("publish_timeout", &self.publish_timeout)
            .field("max_pending", &self.max_pending)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_leave_out_what_is_usual() {
        let rows = [
            ("127.0.0.1", "127.0.0.1:4150"),
            (" nsq.example:7000 ", "nsq.example:7000"),
            ("[::1]:99", "[::1]:99"),
            ("::1", "[::1]:4150"),
            (":99", "127.0.0.1:99"),
        ];
        for (text, expected) in rows {
            assert_eq!(nsqd(text).unwrap(), expected);
        }
        assert_eq!(lookupd("http://nsq/").unwrap(), "http://nsq:4161");
        for wrong in ["", "http://nsq", "nsq:x", "nsq:0", "nsq:99999", "a b", "me@nsq"] {
            let error = NsqConfig::from_addresses(&[wrong.to_owned()]).unwrap_err();
            assert!(error.detail().contains(&format!("{wrong:?}")), "{error}");
        }
        assert!(lookupd("https://nsq").is_err());
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_the_secret_stays_unseen() {
        let good = NsqConfig {
            secret: Some("hidden".into()),
            ..NsqConfig::default()
        };
        assert!(good.check().is_ok() && !format!("{good:?}").contains("hidden"));
        let wrong = [
            NsqConfig {
                nsqds: Vec::new(),
                ..good.clone()
            },
            NsqConfig {
                heartbeat: Duration::ZERO,
                ..good.clone()
            },
            NsqConfig {
                publish_timeout: Duration::ZERO,
                ..good.clone()
            },
            NsqConfig {
                message_timeout: Some(Duration::from_millis(999)),
                ..good.clone()
            },
            NsqConfig {
                max_pending: 0,
                ..good.clone()
            },
            NsqConfig {
                requeue_delay: Duration::from_secs(3601),
                ..good
            },
        ];
        for config in wrong {
            assert!(config.check().is_err(), "{config:?}");
        }
    }
}
