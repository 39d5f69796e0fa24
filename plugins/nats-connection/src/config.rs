//! Where NATS is, and how to speak with it.

use std::fmt;
use std::time::Duration;

use micro_core::Result;
use micro_core::backend::{Role, ServerTls, server_uri};

use crate::error::NATS;

/// How to reach NATS. The default meets Go Micro's services at a server of this machine.
#[derive(Clone)]
pub struct NatsServers {
    /// The servers of the cluster, each as `host`, `host:port`, `nats://host:port` or `tls://host:port`. One of them is
    /// used until it fails, then another; those that they tell of are used too. Without a port, 4222; without a scheme,
    /// `tls` if there is [`tls`](Self::tls). `nats://user:password@host:port` and `nats://token@host:port` log in where
    /// [`login`](Self::login) does not. Default: `127.0.0.1:4222`.
    pub addresses: Vec<String>,
    /// Who this side is. Default: nobody, which a server allows that asks for nothing.
    pub login: Option<NatsLogin>,
    /// Whom to believe and what to show where a server is encrypted. Default: none.
    pub tls: Option<NatsTls>,
    /// How long connecting to one server may take. Default: 2 s.
    pub connect_timeout: Duration,
    /// How often a server that says nothing is asked whether it is there. One that does not answer twice is left for
    /// another. Default: 2 s.
    pub ping_interval: Duration,
}

/// Who this side is.
#[derive(Clone, PartialEq, Eq)]
pub enum NatsLogin {
    /// A user with a password.
    Password {
        /// The user's name.
        user: String,
        /// The user's password.
        password: String,
    },
    /// A token that all share.
    Token(String),
    /// The seed of an nkey, `SU…`. The server gets a signature only.
    Nkey(String),
    /// The text of a credentials file, as `nsc` makes it: a JWT and the seed that belongs to it.
    Credentials(String),
}

/// How to speak TLS with NATS. A server with `verify` wants an identity.
pub type NatsTls = ServerTls;

impl Default for NatsServers {
    fn default() -> Self {
        Self {
            addresses: vec!["127.0.0.1:4222".to_owned()],
            login: None,
            tls: None,
            connect_timeout: Duration::from_secs(2),
            ping_interval: Duration::from_secs(2),
        }
    }
}

/// Where a server is, and who an address says that this side is.
pub(crate) struct Address {
    /// Whole, without a login: `nats://127.0.0.1:4222`.
    pub(crate) url: String,
    pub(crate) login: Option<NatsLogin>,
}

impl NatsServers {
    /// Takes the texts of `--registry_address`, `--broker_address` or `--transport_address` as
    /// [`addresses`](Self::addresses). None: the default.
    ///
    /// # Errors
    ///
    /// When a text is no address.
    pub fn from_addresses(addresses: &[String], role: Role) -> Result<Self> {
        let mut servers = Self::default();
        if !addresses.is_empty() {
            servers.addresses = addresses.to_vec();
        }
        for address in &servers.addresses {
            parse(address, false, role)?;
        }
        Ok(servers)
    }

    pub(crate) fn parsed(&self, role: Role) -> Result<Vec<Address>> {
        if self.addresses.is_empty() {
            return Err(NATS.misconfigured(role, "there is no address; name one such as 127.0.0.1:4222"));
        }
        if self.connect_timeout.is_zero() || self.ping_interval.is_zero() {
            return Err(NATS.misconfigured(
                role,
                "a time of zero lets nothing happen; give at least a millisecond",
            ));
        }
        let parsed = self.addresses.iter().map(|address| {
            let address = parse(address, self.tls.is_some(), role)?;
            let is_encrypted = address.url.starts_with("tls:");
            NATS.check_encryption(role, &address.url, is_encrypted, self.tls.as_ref())?;
            Ok(address)
        });
        parsed.collect()
    }
}

/// Reads an address as a person writes it. Errors do not have what stands before an `@`.
fn parse(address: &str, is_encrypted: bool, role: Role) -> Result<Address> {
    let address = address.trim();
    let (scheme, rest) = match address.split_once("://") {
        Some(("nats", rest)) if is_encrypted => ("https://", rest),
        Some(("nats", rest)) => ("http://", rest),
        Some(("tls", rest)) => ("https://", rest),
        Some((other, _)) => {
            return Err(NATS.misconfigured(
                role,
                format!("address: the scheme {other:?} is neither nats nor tls; write nats://host:port"),
            ));
        }
        None => ("", address),
    };
    let (login, host) = match rest.rsplit_once('@') {
        Some((login, host)) => (Some(login_of(login)), host),
        None => (None, rest),
    };
    let uri = server_uri(&format!("{scheme}{host}"), 4222, is_encrypted).map_err(|_| {
        NATS.misconfigured(
            role,
            format!(
                "address {host:?} is none; write host, host:port or nats://host:port, such as 127.0.0.1:4222"
            ),
        )
    })?;
    let url = match uri.strip_prefix("https://") {
        Some(rest) => format!("tls://{rest}"),
        None => uri.replacen("http://", "nats://", 1),
    };
    Ok(Address { url, login })
}

fn login_of(text: &str) -> NatsLogin {
    match text.split_once(':') {
        Some((user, password)) => NatsLogin::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        },
        None => NatsLogin::Token(text.to_owned()),
    }
}

impl fmt::Debug for NatsServers {
    // What addresses say of a login is left out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.addresses.iter();
        let hosts = hosts.map(|address| address.rsplit('@').next().unwrap_or_default());
        formatter
            .debug_struct("NatsServers")
            .field("addresses", &hosts.collect::<Vec<_>>())
            .field("login", &self.login)
            .field("tls", &self.tls)
            .field("connect_timeout", &self.connect_timeout)
            .field("ping_interval", &self.ping_interval)
            .finish()
    }
}

impl fmt::Debug for NatsLogin {
    // What is secret is left out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(formatter, "Password of {user:?}"),
            Self::Token(_) => formatter.write_str("Token"),
            Self::Nkey(_) => formatter.write_str("Nkey"),
            Self::Credentials(_) => formatter.write_str("Credentials"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(address: &str, is_encrypted: bool) -> String {
        parse(address, is_encrypted, Role::Broker).unwrap().url
    }

    #[test]
    fn addresses_may_leave_out_what_is_usual() {
        let rows = [
            ("127.0.0.1", "nats://127.0.0.1:4222"),
            ("nats.example:14222", "nats://nats.example:14222"),
            (" nats://nats/ ", "nats://nats:4222"),
            ("tls://nats:1", "tls://nats:1"),
            ("[::1]:99", "nats://[::1]:99"),
            (":99", "nats://127.0.0.1:99"),
        ];
        for (address, expected) in rows {
            assert_eq!(url(address, false), expected);
        }
        assert_eq!(url("nats", true), "tls://nats:4222");
        assert_eq!(url("nats://nats:1", true), "tls://nats:1");
        for address in ["", "ftp://nats", "nats:x", "nats:0", "a b", "nats/path"] {
            let error = NatsServers::from_addresses(&[address.to_owned()], Role::Registry).unwrap_err();
            assert_eq!(error.id(), "go.micro.registry", "{error}");
        }
    }

    #[test]
    fn what_stands_before_an_at_sign_logs_in_and_is_never_shown() {
        let parsed = parse("nats://me:secret@nats:1", false, Role::Broker).unwrap();
        let login = NatsLogin::Password {
            user: "me".into(),
            password: "secret".into(),
        };
        assert_eq!(
            (parsed.url.as_str(), parsed.login),
            ("nats://nats:1", Some(login))
        );
        let token = parse("nats://secret@nats", false, Role::Broker).unwrap().login;
        assert_eq!(token, Some(NatsLogin::Token("secret".into())));
        let servers = NatsServers {
            addresses: vec!["nats://me:secret@nats:x".into()],
            login: Some(NatsLogin::Token("secret".into())),
            ..NatsServers::default()
        };
        let error = servers.parsed(Role::Broker).err().unwrap();
        assert!(!format!("{servers:?} {error}").contains("secret"));
    }

    #[test]
    fn an_encrypted_server_needs_an_authority() {
        let servers = NatsServers {
            addresses: vec!["tls://nats".into()],
            ..NatsServers::default()
        };
        let error = servers.parsed(Role::Broker).err().unwrap();
        assert!(error.detail().contains("MICRO_NATS_CACERT"), "{error}");
    }
}
