//! Where Redis is, and how messages are kept in it.

use std::fmt;
use std::time::Duration;

use micro_core::Result;
use micro_core::backend::{Role, ServerTls};
use redis::{ConnectionAddr, IntoConnectionInfo};

use crate::error::{self, REDIS};

const PORT: u16 = 6379;

/// How to reach Redis, and how it carries messages. The default uses the streams of a Redis on this machine.
#[derive(Clone)]
pub struct RedisConfig {
    /// The server: `host`, `host:port`, or `redis://[user[:password]@]host[:port][/database]`, and `rediss://` for TLS.
    /// Default: `redis://127.0.0.1:6379`, as Go Micro.
    pub address: String,
    /// The user to log in as, before the one that the address names. Default: none; a password alone is that of
    /// Redis' user `default`.
    pub user: Option<String>,
    /// The user's password, before the one in the address. Default: empty, which logs in nobody.
    pub password: String,
    /// The number of the database, before the one in the address. Default: none, which is 0.
    pub database: Option<u32>,
    /// Whom to believe and what to show where the address is `rediss`. Default: none.
    pub tls: Option<RedisTls>,
    /// Publishes and subscribes as Go Micro's Redis plugin: no queues, nothing is kept, nothing comes again. Default:
    /// no; messages are in streams.
    pub pub_sub: bool,
    /// How a message is written into a stream. Both kinds are read. Default: [`Layout::Envelope`].
    pub layout: Layout,
    /// What the keys of streams begin with; the topic follows. Only services of the same prefix meet. Channels of
    /// [`pub_sub`](Self::pub_sub) have none. Default: `micro:`.
    pub prefix: String,
    /// About how many messages a stream keeps at most, handled or not. More push out the oldest, which are lost to
    /// queues that did not get them yet. Default: none.
    pub max_length: Option<u64>,
    /// How long messages stay that all queues have handled: so far may a subscription without a queue fall behind. None:
    /// for ever. Default: 1 h.
    pub retention: Option<Duration>,
    /// After how long without a sign of life what a subscriber of a queue had goes to the others. Default: 30 s.
    pub claim_after: Duration,
    /// How long connecting may take. Default: 2 s.
    pub connect_timeout: Duration,
    /// How long Redis may take to answer before the connection counts as lost. Default: 3 s.
    pub response_timeout: Duration,
    /// How long publishing tries to have a message confirmed, over all connections. Default: 10 s.
    pub publish_timeout: Duration,
    /// How many messages may be on their way to Redis; more wait. With [`pub_sub`](Self::pub_sub), also how many may
    /// wait for a subscriber before its subscription is interrupted. Default: 1024.
    pub max_pending: usize,
}

/// How a message is written into an entry of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Layout {
    /// One field, `message`, with the JSON that Go Micro's brokers write.
    #[default]
    Envelope,
    /// The field `body` with the bare body, and a field `header:<name>` for each header. Smaller and faster.
    Fields,
}

/// How to speak TLS with Redis. One with `tls-auth-clients` wants an identity.
pub type RedisTls = ServerTls;

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            address: "redis://127.0.0.1:6379".to_owned(),
            user: None,
            password: String::new(),
            database: None,
            tls: None,
            pub_sub: false,
            layout: Layout::Envelope,
            prefix: "micro:".to_owned(),
            max_length: None,
            retention: Some(Duration::from_secs(60 * 60)),
            claim_after: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(3),
            publish_timeout: Duration::from_secs(10),
            max_pending: 1024,
        }
    }
}

impl RedisConfig {
    /// Takes the text of `--broker_address` as [`address`](Self::address). None: the default.
    ///
    /// # Errors
    ///
    /// When the text is no address, or there are several: a cluster is not supported.
    pub fn from_addresses(addresses: &[String]) -> Result<Self> {
        let mut config = Self::default();
        match addresses {
            [] => {}
            [address] => config.address.clone_from(address),
            several => {
                return Err(error::misconfigured(format_args!(
                    "{} addresses were given; one server is used, and Redis Cluster is not supported",
                    several.len()
                )));
            }
        }
        config.server_of_address()?;
        Ok(config)
    }

    /// Who is to be connected to, and as whom.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense.
    pub(crate) fn server(&self) -> Result<Server> {
        let times = [
            self.claim_after,
            self.connect_timeout,
            self.response_timeout,
            self.publish_timeout,
        ];
        if times.into_iter().any(|time| time < Duration::from_millis(1)) {
            return Err(error::misconfigured(
                "a time of zero lets nothing happen; give at least a millisecond",
            ));
        }
        if self.max_pending == 0 {
            return Err(error::misconfigured(
                "max_pending of 0 lets nothing out; give at least 1",
            ));
        }
        let mut server = self.server_of_address()?;
        let scheme = if server.is_encrypted { "rediss" } else { "redis" };
        let address = format!("{scheme}://{}", server.address);
        REDIS.check_encryption(Role::Broker, &address, server.is_encrypted, self.tls.as_ref())?;
        if let Some(user) = &self.user {
            server.user = Some(user.clone());
        }
        if !self.password.is_empty() {
            server.password = Some(self.password.clone());
        }
        if let Some(database) = self.database {
            server.database = database.into();
        }
        Ok(server)
    }

    fn server_of_address(&self) -> Result<Server> {
        Server::parse(&self.address, self.tls.is_some())
    }
}

/// A server, and who logs in there.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// `host:port`, for connecting and for errors.
    pub(crate) address: String,
    pub(crate) is_encrypted: bool,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: i64,
}

impl Server {
    /// What an address says. Without a scheme, it is `rediss` if that is preferred.
    fn parse(text: &str, prefers_encryption: bool) -> Result<Self> {
        let text = text.trim();
        // The text may have a password, so it is not repeated.
        let wrong = |why: &str| {
            error::misconfigured(format_args!(
                "the address {:?}: {why}; write host, host:port or redis(s)://[user[:password]@]host[:port][/database], \
                 such as redis://127.0.0.1:{PORT}",
                without_login(text)
            ))
        };
        let (is_encrypted, rest) = match text.split_once("://") {
            Some(("redis", rest)) => (false, rest),
            Some(("rediss", rest)) => (true, rest),
            Some(_) => return Err(wrong("the scheme is neither redis nor rediss")),
            None => (prefers_encryption, text),
        };
        if rest.contains(['?', '#']) {
            return Err(wrong("it has more than user, host and database"));
        }
        // An IPv6 address has colons of its own.
        let rest = match rest.parse::<std::net::Ipv6Addr>() {
            Ok(_) => format!("[{rest}]"),
            Err(_) if rest.starts_with(':') => format!("127.0.0.1{rest}"),
            Err(_) => rest.to_owned(),
        };
        let info = format!("redis://{rest}").as_str().into_connection_info();
        let info = info.map_err(|_| wrong("it is no host"))?;
        let ConnectionAddr::Tcp(host, port) = info.addr() else {
            return Err(wrong("it is no host"));
        };
        if host.is_empty() || host.contains(char::is_whitespace) || *port == 0 {
            return Err(wrong("it is no host and port"));
        }
        let host = match host.contains(':') && !host.starts_with('[') {
            true => format!("[{host}]"),
            false => host.clone(),
        };
        let login = info.redis_settings();
        Ok(Self {
            address: format!("{host}:{port}"),
            is_encrypted,
            user: login.username().map(str::to_owned),
            password: login.password().map(str::to_owned),
            database: login.db(),
        })
    }
}

/// An address without the user and the password that it may have.
fn without_login(address: &str) -> String {
    match address.rsplit_once('@') {
        None => address.to_owned(),
        Some((before, rest)) => match before.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://{rest}"),
            None => rest.to_owned(),
        },
    }
}

impl fmt::Debug for RedisConfig {
    // The password is left out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RedisConfig")
            .field("address", &without_login(&self.address))
            .field("user", &self.user)
            .field("database", &self.database)
            .field("tls", &self.tls)
            .field("pub_sub", &self.pub_sub)
            .field("layout", &self.layout)
            .field("prefix", &self.prefix)
            .field("max_length", &self.max_length)
            .field("retention", &self.retention)
            .field("claim_after", &self.claim_after)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("publish_timeout", &self.publish_timeout)
            .field("max_pending", &self.max_pending)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_leave_out_what_is_usual() {
        let rows = [
            ("127.0.0.1", "127.0.0.1:6379"),
            ("redis.example:7000", "redis.example:7000"),
            (" redis://redis ", "redis:6379"),
            ("redis://redis/", "redis:6379"),
            ("[::1]:99", "[::1]:99"),
            ("::1", "[::1]:6379"),
            (":99", "127.0.0.1:99"),
        ];
        for (text, expected) in rows {
            let server = Server::parse(text, false).unwrap();
            assert_eq!((server.address.as_str(), server.is_encrypted), (expected, false));
            assert_eq!((server.password, server.database), (None, 0));
        }
        assert!(Server::parse("redis", true).unwrap().is_encrypted);
        let server = Server::parse("rediss://me:s%40cret@redis:1/7", false).unwrap();
        assert!(server.is_encrypted);
        assert_eq!(server.address, "redis:1");
        assert_eq!(server.user.as_deref(), Some("me"));
        assert_eq!(server.password.as_deref(), Some("s@cret"));
        assert_eq!(server.database, 7);
        for wrong in [
            "",
            "http://redis",
            "redis:x",
            "redis:0",
            "redis:99999",
            "a b",
            "redis/x",
            "redis://redis?x=y",
        ] {
            let error = RedisConfig::from_addresses(&[wrong.to_owned()]).unwrap_err();
            assert!(error.detail().contains(&format!("{wrong:?}")), "{error}");
        }
        assert!(RedisConfig::from_addresses(&["a".into(), "b".into()]).is_err());
    }

    #[test]
    fn an_encrypted_server_needs_an_authority_and_a_plain_one_none() {
        let with = |address: &str, tls| RedisConfig {
            address: address.to_owned(),
            tls,
            ..RedisConfig::default()
        };
        let error = with("rediss://redis", None).server().err().unwrap();
        assert!(error.detail().contains("MICRO_REDIS_CACERT"), "{error}");
        assert!(with("redis://redis", Some(RedisTls::default())).server().is_err());
        assert!(
            with("redis", Some(RedisTls::default()))
                .server()
                .unwrap()
                .is_encrypted
        );
    }

    #[test]
    fn no_password_is_seen() {
        let config = RedisConfig {
            address: "redis://me:secret@redis".into(),
            password: "secret".into(),
            ..RedisConfig::default()
        };
        let seen = format!("{config:?}");
        assert!(
            !seen.contains("secret") && seen.contains("redis://redis"),
            "{seen}"
        );
        let error = Server::parse("redis://me:secret@redis:x", false).err().unwrap();
        assert!(!error.detail().contains("secret"), "{error}");
    }

    #[test]
    fn what_lets_nothing_happen_is_refused() {
        let zero = RedisConfig {
            publish_timeout: Duration::ZERO,
            ..RedisConfig::default()
        };
        let none = RedisConfig {
            max_pending: 0,
            ..RedisConfig::default()
        };
        assert!(zero.server().is_err() && none.server().is_err());
    }
}
