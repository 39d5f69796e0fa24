//! Where ZooKeeper is, and how to speak with it.

use std::fmt;
use std::time::Duration;

use micro_core::Result;
use micro_core::backend::ServerTls;

use crate::error;
use crate::record::Paths;
use crate::requests::{ALL, Acl, READ};

/// How to reach ZooKeeper. The default meets Go Micro's services at a ZooKeeper of this machine.
#[derive(Clone)]
pub struct ZookeeperConfig {
    /// The servers of the ensemble, each as `host` or `host:port`. One is used until it fails, then the next. Without
    /// a port, 2181. Default: `127.0.0.1:2181`.
    pub servers: Vec<String>,
    /// The node below which all records are. Only services of the same path meet. Default: `/micro-registry`, as Go
    /// Micro.
    pub path: String,
    /// The user to be known as, by ZooKeeper's scheme `digest`. Default: nobody in particular.
    pub user: Option<String>,
    /// The user's password.
    pub password: String,
    /// Who may do what with what is written. Default, `None`: everybody everything, as Go Micro; with a
    /// [`user`](Self::user), [`OwnerWrites`](ZookeeperAccess::OwnerWrites).
    pub access: Option<ZookeeperAccess>,
    /// Whom to believe and what to show. With it, all servers are spoken to in TLS. Default: none.
    pub tls: Option<ZookeeperTls>,
    /// How long ZooKeeper keeps the records of a process that it does not hear of. The server may allow for less or
    /// more: from 2 to 20 of its ticks, unless it is configured otherwise. Default: 10 s.
    pub session_timeout: Duration,
    /// How long connecting to one server may take. Default: 2 s.
    pub connect_timeout: Duration,
    /// How long a request may take. Default: 5 s.
    pub request_timeout: Duration,
    /// How many bytes a message may have, in either direction: the servers' `jute.maxbuffer`. Default: 1 MiB less
    /// one byte, as ZooKeeper.
    pub max_message: usize,
}

/// Who may do what with the nodes that this side writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ZookeeperAccess {
    /// Everybody may do everything, as Go Micro has it.
    Everybody,
    /// The user may do everything, everybody else may read. Needs a [`user`](ZookeeperConfig::user).
    OwnerWrites,
    /// The user may do everything, nobody else anything. Needs a [`user`](ZookeeperConfig::user).
    OwnerOnly,
}

/// How to speak TLS with ZooKeeper. One with `ssl.clientAuth=need`, which is its default, wants an identity.
pub type ZookeeperTls = ServerTls;

impl Default for ZookeeperConfig {
    fn default() -> Self {
        Self {
            servers: vec!["127.0.0.1:2181".to_owned()],
            path: "/micro-registry".to_owned(),
            user: None,
            password: String::new(),
            access: None,
            tls: None,
            session_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(5),
            max_message: 0xf_ffff,
        }
    }
}

impl ZookeeperConfig {
    /// Takes the texts of `--registry_address` as [`servers`](Self::servers). None: the default.
    ///
    /// # Errors
    ///
    /// When a text is no address.
    pub fn from_addresses(addresses: &[String]) -> Result<Self> {
        let mut config = Self::default();
        if !addresses.is_empty() {
            config.servers = addresses.to_vec();
        }
        for address in &config.servers {
            Server::parse(address)?;
        }
        Ok(config)
    }

    /// Whether the configuration makes sense, and what it says of servers and paths.
    pub(crate) fn check(&self) -> Result<(Vec<Server>, Paths)> {
        if self.servers.is_empty() {
            return Err(error::misconfigured(
                "there is no server; name one such as 127.0.0.1:2181",
            ));
        }
        if self.connect_timeout.is_zero() || self.request_timeout.is_zero() || self.session_timeout.is_zero()
        {
            return Err(error::misconfigured(
                "a timeout of zero lets nothing happen; give at least a millisecond",
            ));
        }
        if self.max_message < 1024 {
            return Err(error::misconfigured(format!(
                "no record fits into `max_message` of {} bytes; give at least 1024",
                self.max_message
            )));
        }
        let owned = matches!(
            self.access,
            Some(ZookeeperAccess::OwnerWrites | ZookeeperAccess::OwnerOnly)
        );
        match &self.user {
            None if owned => {
                return Err(error::misconfigured(
                    "`access` speaks of an owner, but there is no user; set `user` and `password`, or \
                     ZOOKEEPER_USERNAME and ZOOKEEPER_PASSWORD",
                ));
            }
            Some(user) if user.is_empty() || user.contains(':') => {
                return Err(error::misconfigured(format!(
                    "the user {user:?} is empty or has a colon, which ZooKeeper takes for the end of the name"
                )));
            }
            _ => {}
        }
        let servers = self.servers.iter().map(|address| Server::parse(address));
        Ok((servers.collect::<Result<_>>()?, Paths::new(&self.path)?))
    }

    /// Who may do what with what is written.
    pub(crate) fn acl(&self) -> Acl {
        // "auth" is whoever makes the node.
        let owner = (ALL, "auth", "");
        let default = match self.user {
            Some(_) => ZookeeperAccess::OwnerWrites,
            None => ZookeeperAccess::Everybody,
        };
        match self.access.unwrap_or(default) {
            ZookeeperAccess::Everybody => vec![(ALL, "world", "anyone")],
            ZookeeperAccess::OwnerWrites => vec![owner, (READ, "world", "anyone")],
            ZookeeperAccess::OwnerOnly => vec![owner],
        }
    }
}

impl fmt::Debug for ZookeeperConfig {
    // The password is left out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ZookeeperConfig")
            .field("servers", &self.servers)
            .field("path", &self.path)
            .field("user", &self.user)
            .field("access", &self.access)
            .field("tls", &self.tls)
            .field("session_timeout", &self.session_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("max_message", &self.max_message)
            .finish_non_exhaustive()
    }
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Server {
    fn parse(address: &str) -> Result<Self> {
        let address = address.trim();
        let wrong = |why: &str| {
            error::misconfigured(format!(
                "registry address {address:?}: {why}; write host or host:port, such as 127.0.0.1:2181"
            ))
        };
        if address.contains("://") {
            return Err(wrong("there is no scheme; `tls` says whether to encrypt"));
        }
        if address.contains('/') {
            return Err(wrong("the path of the records is an option of its own, `path`"));
        }
        let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (
                host,
                Some(port.strip_prefix(':').ok_or_else(|| wrong("it is no host"))?),
            ),
            // An IPv6 address has colons of its own.
            None if address.parse::<std::net::Ipv6Addr>().is_ok() => (address, None),
            None => match address.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        let port = match port {
            None => 2181,
            Some(port) => match port.parse() {
                Ok(port) if port != 0 => port,
                _ => return Err(wrong("the port is none")),
            },
        };
        let host = match host {
            "" if address.starts_with(':') => "127.0.0.1",
            host => host,
        };
        let is_odd = |character: char| character.is_whitespace() || "[]@,?#".contains(character);
        if host.is_empty() || host.contains(is_odd) {
            return Err(wrong("it is no host"));
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(formatter, "[{}]:{}", self.host, self.port),
            false => write!(formatter, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_leave_out_what_is_usual() {
        let rows = [
            ("127.0.0.1", "127.0.0.1:2181"),
            (" zoo.example:12181 ", "zoo.example:12181"),
            ("[::1]:99", "[::1]:99"),
            ("[::1]", "[::1]:2181"),
            ("::1", "[::1]:2181"),
            (":99", "127.0.0.1:99"),
        ];
        for (address, expected) in rows {
            assert_eq!(Server::parse(address).unwrap().to_string(), expected);
        }
        for address in [
            "",
            "http://zoo",
            "zoo:x",
            "zoo:0",
            "zoo:99999",
            "a b",
            "me@zoo",
            "zoo/chroot",
            "[::1",
            "[::1]x",
            "a:1:2",
        ] {
            let error = ZookeeperConfig::from_addresses(&[address.to_owned()]).unwrap_err();
            assert!(
                error.detail().contains(&format!("{:?}", address.trim())),
                "{error}"
            );
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let default = ZookeeperConfig::default;
        assert!(default().check().is_ok());
        let wrong = [
            ZookeeperConfig {
                servers: vec![],
                ..default()
            },
            ZookeeperConfig {
                path: "micro".into(),
                ..default()
            },
            ZookeeperConfig {
                request_timeout: Duration::ZERO,
                ..default()
            },
            ZookeeperConfig {
                max_message: 10,
                ..default()
            },
            ZookeeperConfig {
                user: Some("a:b".into()),
                ..default()
            },
            ZookeeperConfig {
                access: Some(ZookeeperAccess::OwnerOnly),
                ..default()
            },
        ];
        for config in wrong {
            assert!(config.check().is_err(), "{config:?}");
        }
    }

    #[test]
    fn a_user_owns_what_is_written_and_the_password_stays_unseen() {
        let mut config = ZookeeperConfig {
            password: "secret".into(),
            ..ZookeeperConfig::default()
        };
        assert_eq!(config.acl(), [(ALL, "world", "anyone")]);
        config.user = Some("micro".into());
        assert_eq!(config.acl(), [(ALL, "auth", ""), (READ, "world", "anyone")]);
        config.access = Some(ZookeeperAccess::OwnerOnly);
        assert_eq!(config.acl(), [(ALL, "auth", "")]);
        assert!(!format!("{config:?}").contains("secret"));
    }
}
