//! What plugins share that speak with servers: what a server is asked for, where it is, whom to believe, and what errors
//! say. For those who write such a plugin.

mod address;
mod tls;

use std::fmt::Display;
use std::time::Duration;

use rustls::ClientConfig;

use crate::transport::socket::Connector;
use crate::{Error, Result};

pub use self::address::{host_and_port, server_uri};
pub use self::tls::ServerTls;

/// How many characters of what a server says an error repeats.
const LONGEST_LINE: usize = 300;

/// What a server is asked for: where errors say that they come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A registry's records: `go.micro.registry`.
    Registry,
    /// A transport's calls: `go.micro.transport`.
    Transport,
    /// A broker's events: `go.micro.broker`.
    Broker,
    /// Configuration: `go.micro.config`.
    Config,
}

impl Role {
    /// Where errors of this role come from, as they say.
    pub fn id(self) -> &'static str {
        match self {
            Self::Registry => "go.micro.registry",
            Self::Transport => "go.micro.transport",
            Self::Broker => "go.micro.broker",
            Self::Config => "go.micro.config",
        }
    }
}

/// A kind of server, as errors speak of it: a constant of its plugins.
#[derive(Debug, Clone, Copy)]
pub struct Backend {
    /// How errors call it: `consul`.
    pub name: &'static str,
    /// What answers where all is well: `an agent of Consul 1.12 or later`.
    pub expected: &'static str,
    /// The scheme of its encrypted addresses: `https`.
    pub encrypted_scheme: &'static str,
    /// The variable that names the file with the authorities to believe: `CONSUL_CACERT`.
    pub authorities_variable: &'static str,
}

impl Backend {
    /// The error of a configuration that makes no sense.
    pub fn misconfigured(&self, role: Role, why: impl Display) -> Error {
        Error::bad_request(role.id(), format!("{}: {why}", self.name))
    }

    /// The error of a connection that there is not, or that broke.
    pub fn unreachable(&self, role: Role, address: &str, why: impl Display) -> Error {
        let name = self.name;
        Error::unavailable(
            role.id(),
            format!(
                "{name} at {address}: {why}; is it running and reachable, and does it speak TLS as configured?"
            ),
        )
    }

    /// The error of an answer that did not come within the option `request_timeout`.
    pub fn late(&self, role: Role, address: &str, timeout: Duration) -> Error {
        let name = self.name;
        Error::timeout(
            role.id(),
            format!(
                "{name} at {address} did not answer within {timeout:?}; is it overloaded or cut off? The option \
                 `request_timeout` allows for more"
            ),
        )
    }

    /// The error of a server that does what such a server does not do: `what` it did.
    pub fn unexpected(&self, role: Role, address: &str, what: impl Display) -> Error {
        let (name, expected) = (self.name, self.expected);
        Error::unavailable(
            role.id(),
            format!("{name} at {address} {what}; is it {expected}?"),
        )
    }

    /// The whole addresses of servers that speak HTTP, as [`server_uri`] reads each.
    ///
    /// # Errors
    ///
    /// When a text is no address, or is encrypted otherwise than the option `tls` says.
    pub fn uris(
        &self,
        role: Role,
        addresses: &[String],
        port: u16,
        tls: Option<&ServerTls>,
    ) -> Result<Vec<String>> {
        let uris = addresses.iter().map(|address| {
            let uri = server_uri(address, port, tls.is_some());
            let uri = uri.map_err(|why| self.misconfigured(role, why))?;
            self.check_encryption(role, &uri, uri.starts_with("https:"), tls)?;
            Ok(uri)
        });
        uris.collect()
    }

    /// Whether an address and the option `tls` agree on the encryption.
    ///
    /// # Errors
    ///
    /// When they do not; `address` is what the error says.
    pub fn check_encryption(
        &self,
        role: Role,
        address: &str,
        is_encrypted: bool,
        tls: Option<&ServerTls>,
    ) -> Result<()> {
        match (is_encrypted, tls) {
            (true, None) => Err(self.misconfigured(
                role,
                format_args!(
                    "{address} wants TLS, but no authority to believe is configured; set `tls`, or {} to a PEM file",
                    self.authorities_variable
                ),
            )),
            (false, Some(_)) => Err(self.misconfigured(
                role,
                format_args!(
                    "{address} is not encrypted though TLS is configured; write {}:// or leave out `tls`",
                    self.encrypted_scheme
                ),
            )),
            _ => Ok(()),
        }
    }

    /// What makes connections, encrypted where there is `tls`, over which one of the protocols (names of ALPN) is spoken.
    ///
    /// # Errors
    ///
    /// When certificates, keys or names cannot be used.
    pub fn connector(&self, role: Role, tls: Option<&ServerTls>, protocols: &[&str]) -> Result<Connector> {
        let made = match tls {
            None => Connector::new(None, protocols),
            Some(tls) => tls
                .believing()
                .and_then(|tls| Connector::new(Some(&tls), protocols)),
        };
        made.map_err(|problem| self.not_encrypted(role, &problem))
    }

    /// The encryption for clients that connect themselves and take rustls' configuration. It holds servers to
    /// [`ServerTls::server_name`], whatever name they were dialled by. Without `tls`, nobody is believed.
    ///
    /// # Errors
    ///
    /// When certificates, keys or names cannot be used.
    pub fn client_config(&self, role: Role, tls: Option<&ServerTls>) -> Result<ClientConfig> {
        let made = tls::client_config(tls);
        made.map_err(|problem| self.not_encrypted(role, &problem))
    }

    fn not_encrypted(&self, role: Role, problem: &Error) -> Error {
        let (why, variable) = (problem.detail(), self.authorities_variable);
        self.misconfigured(
            role,
            format_args!("{why}; check the option `tls`, or {variable} and the variables beside it"),
        )
    }
}

/// What a server says, in one line of at most 300 characters, so that an error can repeat it.
pub fn in_one_line(said: &[u8]) -> String {
    // A character has four bytes at most.
    let start = &said[..said.len().min(LONGEST_LINE * 4)];
    let text = String::from_utf8_lossy(start);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(LONGEST_LINE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: Backend = Backend {
        name: "shop",
        expected: "a shop of version 2 or later",
        encrypted_scheme: "https",
        authorities_variable: "SHOP_CACERT",
    };

    #[test]
    fn an_encrypted_address_needs_an_authority_and_a_plain_one_none() {
        let tls = ServerTls::default();
        let uris = |address: &str, tls| SHOP.uris(Role::Config, &[address.to_owned()], 80, tls);
        let error = uris("https://shop", None).unwrap_err();
        assert_eq!(error.id(), "go.micro.config");
        assert!(error.detail().contains("SHOP_CACERT"), "{error}");
        let error = uris("http://shop", Some(&tls)).unwrap_err();
        assert!(error.detail().contains("write https://"), "{error}");
        assert_eq!(uris("shop", Some(&tls)).unwrap(), ["https://shop:80"]);
        assert_eq!(uris("shop", None).unwrap(), ["http://shop:80"]);
    }

    #[test]
    fn what_cannot_encrypt_is_told_with_where_it_is_said() {
        let nobody = ServerTls::default();
        let no_certificate = ServerTls {
            authorities: b"no certificate".to_vec(),
            ..ServerTls::default()
        };
        for tls in [nobody, no_certificate] {
            let connector = SHOP.connector(Role::Broker, Some(&tls), &[]).map(drop);
            let config = SHOP.client_config(Role::Broker, Some(&tls)).map(drop);
            for error in [connector.unwrap_err(), config.unwrap_err()] {
                assert_eq!(error.id(), "go.micro.broker");
                for part in ["shop: TLS: the authorities", "SHOP_CACERT"] {
                    assert!(error.detail().contains(part), "{error}");
                }
            }
        }
        assert!(SHOP.client_config(Role::Broker, None).is_ok());
    }

    #[test]
    fn only_so_much_is_repeated() {
        let long = in_one_line("ü\n".repeat(100_000).as_bytes());
        assert!(long.chars().count() <= LONGEST_LINE);
        assert_eq!(in_one_line(b"  two\r\nlines "), "two lines");
    }
}
