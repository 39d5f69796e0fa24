//! Where RabbitMQ is, and how to speak with it.

use std::fmt;
use std::net::Ipv6Addr;
use std::time::Duration;

use amq_protocol_tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use micro_core::Result;
use micro_core::backend::{Role, ServerTls};

use crate::error::RABBITMQ;

/// How to reach RabbitMQ. The default meets Go Micro's services at a RabbitMQ of this machine.
#[derive(Clone)]
pub struct RabbitmqServer {
    /// The nodes of the cluster, each as `host`, `host:port` or `amqp://user:password@host:port/vhost`; `amqps` with
    /// encryption. One is used until it fails, then the next. Without a port, 5672, or 5671 with encryption; without a
    /// user, `guest`; without a virtual host, `/`. Default: `127.0.0.1:5672`.
    pub addresses: Vec<String>,
    /// The user to log in as, in place of the addresses'. Default: none.
    pub user: Option<String>,
    /// The user's password, in place of the addresses'. Default: none.
    pub password: Option<String>,
    /// Whom to believe and what to show where an address is `amqps`. Default: none.
    pub tls: Option<RabbitmqTls>,
    /// How RabbitMQ's own lists call the connection. Default: `micro`.
    pub connection_name: String,
    /// How often both sides show that they live; a side that shows nothing for twice as long is given up. In whole
    /// seconds from 1 to 3600. Default: 10 s, as Go Micro.
    pub heartbeat: Duration,
    /// How long connecting to one node may take, the handshake included. Default: 5 s.
    pub connect_timeout: Duration,
}

/// How to speak TLS with RabbitMQ. One that wants certificates of its clients wants an identity.
pub type RabbitmqTls = ServerTls;

impl Default for RabbitmqServer {
    fn default() -> Self {
        Self {
            addresses: vec!["127.0.0.1:5672".to_owned()],
            user: None,
            password: None,
            tls: None,
            connection_name: "micro".to_owned(),
            heartbeat: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
        }
    }
}

impl RabbitmqServer {
    /// Takes texts of a flag as [`addresses`](Self::addresses). None: the default.
    ///
    /// # Errors
    ///
    /// When a text is no address. The message does not repeat a password.
    pub fn from_addresses(addresses: &[String], role: Role) -> Result<Self> {
        let mut server = Self::default();
        if !addresses.is_empty() {
            server.addresses = addresses.to_vec();
        }
        for address in &server.addresses {
            uri(role, address, false)?;
        }
        Ok(server)
    }

    /// The nodes as the client takes them.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense.
    pub(crate) fn nodes(&self, role: Role) -> Result<Vec<Node>> {
        if self.addresses.is_empty() {
            return Err(RABBITMQ.misconfigured(role, "there is no address; name one such as 127.0.0.1:5672"));
        }
        if self.connect_timeout.is_zero() {
            return Err(RABBITMQ.misconfigured(role, "a `connect_timeout` of zero lets nobody connect"));
        }
        if !(1..=3600).contains(&self.heartbeat.as_secs()) {
            return Err(RABBITMQ.misconfigured(
                role,
                format!("a `heartbeat` of {:?} is not from 1 s to 3600 s", self.heartbeat),
            ));
        }
        let nodes = self.addresses.iter().map(|address| self.node(role, address));
        nodes.collect()
    }

    fn node(&self, role: Role, address: &str) -> Result<Node> {
        let mut uri = uri(role, address, self.tls.is_some())?;
        let is_encrypted = uri.scheme == AMQPScheme::AMQPS;
        let name = format!("{}:{}", uri.authority.host, uri.authority.port);
        RABBITMQ.check_encryption(role, &name, is_encrypted, self.tls.as_ref())?;
        if let Some(user) = &self.user {
            uri.authority.userinfo.username.clone_from(user);
        }
        if let Some(password) = &self.password {
            uri.authority.userinfo.password.clone_from(password);
        }
        let heartbeat = u16::try_from(self.heartbeat.as_secs()).unwrap_or(u16::MAX);
        uri.query.heartbeat.get_or_insert(heartbeat);
        let host = uri.authority.host.trim_matches(['[', ']']).to_owned();
        let tls = self.tls.clone().unwrap_or_default();
        Ok(Node {
            name,
            server_name: tls.server_name.clone().unwrap_or_else(|| host.clone()),
            tls: texts(tls, role)?,
            host,
            uri,
        })
    }
}

/// The certificates as the client takes them.
fn texts(tls: ServerTls, role: Role) -> Result<OwnedTLSConfig> {
    let text = String::from_utf8(tls.authorities);
    let authorities = text.map_err(|_| RABBITMQ.misconfigured(role, "TLS: the authorities are no PEM"))?;
    Ok(OwnedTLSConfig {
        cert_chain: Some(authorities),
        identity: tls.identity.map(|identity| OwnedIdentity::PKCS8 {
            pem: identity.certificates,
            key: identity.key,
        }),
    })
}

/// One node of the cluster.
#[derive(Clone)]
pub(crate) struct Node {
    /// `host:port`, for words.
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) server_name: String,
    pub(crate) tls: OwnedTLSConfig,
    pub(crate) uri: AMQPUri,
}

fn uri(role: Role, address: &str, is_encrypted: bool) -> Result<AMQPUri> {
    let address = address.trim();
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None if is_encrypted => ("amqps", address),
        None => ("amqp", address),
    };
    // Whoever it names, the password stays unsaid.
    let shown = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let wrong = |why: &str| {
        RABBITMQ.misconfigured(
            role,
            format!(
                "address {shown:?}: {why}; write host, host:port or amqp://user:password@host:port/vhost"
            ),
        )
    };
    if !matches!(scheme, "amqp" | "amqps") {
        return Err(wrong("the scheme is neither amqp nor amqps"));
    }
    let rest = match rest.strip_prefix(':') {
        Some(port) => format!("127.0.0.1:{port}"),
        None => rest.to_owned(),
    };
    if rest.is_empty() || rest.contains(char::is_whitespace) {
        return Err(wrong("it is no host"));
    }
    let mut uri: AMQPUri = format!("{scheme}://{rest}")
        .parse()
        .map_err(|problem: String| wrong(&problem))?;
    // The client's parser takes such a host for localhost.
    if let Some((host, _)) = shown.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let host: Ipv6Addr = host.parse().map_err(|_| wrong("it is no IPv6 address"))?;
        uri.authority.host = format!("[{host}]");
    }
    if uri.authority.host.is_empty() || uri.authority.port == 0 {
        return Err(wrong("it is no host and port"));
    }
    // As Go Micro's client reads `amqp://host/`.
    if uri.vhost.is_empty() {
        uri.vhost = "/".to_owned();
    }
    if uri.vhost.len() > 255 {
        return Err(wrong("the virtual host is longer than 255 bytes"));
    }
    Ok(uri)
}

impl fmt::Debug for RabbitmqServer {
    // Passwords are left out, also those within addresses.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |address: &String| {
            address
                .rsplit_once('@')
                .map_or(address.clone(), |(_, place)| place.to_owned())
        };
        let addresses: Vec<String> = self.addresses.iter().map(shown).collect();
        formatter
            .debug_struct("RabbitmqServer")
            .field("addresses", &addresses)
            .field("user", &self.user)
            .field("tls", &self.tls)
            .field("connection_name", &self.connection_name)
            .field("heartbeat", &self.heartbeat)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(server: &RabbitmqServer) -> Result<Node> {
        Ok(server.nodes(Role::Broker)?.remove(0))
    }

    fn at(address: &str) -> RabbitmqServer {
        RabbitmqServer {
            addresses: vec![address.to_owned()],
            ..RabbitmqServer::default()
        }
    }

    #[test]
    fn addresses_may_leave_out_what_is_usual() {
        let rows = [
            ("127.0.0.1", "127.0.0.1:5672", "guest", "guest", "/"),
            ("rabbit.example:99", "rabbit.example:99", "guest", "guest", "/"),
            (" amqp://rabbit/ ", "rabbit:5672", "guest", "guest", "/"),
            (
                "amqp://me:p%40ss@rabbit:1/orders",
                "rabbit:1",
                "me",
                "p@ss",
                "orders",
            ),
            ("amqp://rabbit/%2f", "rabbit:5672", "guest", "guest", "/"),
            (":99", "127.0.0.1:99", "guest", "guest", "/"),
            ("amqp://[::1]:99", "[::1]:99", "guest", "guest", "/"),
        ];
        for (address, name, user, password, vhost) in rows {
            let node = node(&at(address)).unwrap();
            let userinfo = &node.uri.authority.userinfo;
            assert_eq!(
                (
                    node.name.as_str(),
                    userinfo.username.as_str(),
                    userinfo.password.as_str(),
                    node.uri.vhost.as_str()
                ),
                (name, user, password, vhost)
            );
        }
        assert_eq!(node(&at("amqp://[::1]:99")).unwrap().host, "::1");
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_password() {
        for address in ["", "ftp://rabbit", "rabbit:x", "rabbit:0", "rabbit:99999", "a b"] {
            let error = RabbitmqServer::from_addresses(&[address.to_owned()], Role::Broker).unwrap_err();
            assert!(error.detail().contains("amqp://user"), "{error}");
        }
        let server = at("amqp://me:hush@rabbit:x/");
        let error = node(&server).err().unwrap();
        assert!(
            !error.detail().contains("hush") && error.detail().contains("rabbit:x"),
            "{error}"
        );
        let server = RabbitmqServer {
            password: Some("whisper".into()),
            ..server
        };
        let shown = format!("{server:?}");
        assert!(!shown.contains("hush") && !shown.contains("whisper"), "{shown}");
    }

    #[test]
    fn user_and_password_may_be_given_beside_the_address() {
        let server = RabbitmqServer {
            user: Some("me".into()),
            password: Some("secret".into()),
            ..at("amqp://you:hush@rabbit")
        };
        let userinfo = node(&server).unwrap().uri.authority.userinfo;
        assert_eq!(
            (userinfo.username.as_str(), userinfo.password.as_str()),
            ("me", "secret")
        );
    }

    #[test]
    fn an_encrypted_address_needs_an_authority_and_a_plain_one_none() {
        let error = node(&at("amqps://rabbit")).err().unwrap();
        assert!(error.detail().contains("MICRO_RABBITMQ_CACERT"), "{error}");
        let tls = Some(RabbitmqTls::default());
        let with_tls = |address| RabbitmqServer {
            tls: tls.clone(),
            ..at(address)
        };
        assert!(node(&with_tls("amqp://rabbit")).is_err());
        assert_eq!(node(&with_tls("rabbit")).unwrap().name, "rabbit:5671");
    }

    #[test]
    fn times_that_let_nothing_happen_are_refused() {
        let no_time = RabbitmqServer {
            connect_timeout: Duration::ZERO,
            ..RabbitmqServer::default()
        };
        let no_heartbeat = RabbitmqServer {
            heartbeat: Duration::from_millis(10),
            ..RabbitmqServer::default()
        };
        assert!(node(&no_time).is_err() && node(&no_heartbeat).is_err());
    }
}
