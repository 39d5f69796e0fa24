//! Where etcd is, and how to speak with it.

use std::fmt;
use std::time::Duration;

use micro_core::Result;
use micro_core::registry::server_uri;
use micro_core::transport::http::Identity;

use crate::error::{Role, misconfigured};

/// How to reach etcd. The default is an etcd of this machine.
#[derive(Clone)]
pub struct EtcdServers {
    /// The members of the cluster, each as `host`, `host:port`, `http://host:port` or `https://host:port`. One is
    /// used until it fails, then the next. Without a port, 2379; without a scheme, `https` if there is
    /// [`tls`](Self::tls). Default: `127.0.0.1:2379`.
    pub endpoints: Vec<String>,
    /// The user to log in as. Default: none, which etcd allows while its authentication is off.
    pub user: Option<String>,
    /// The user's password.
    pub password: String,
    /// Whom to believe and what to show where an endpoint is `https`. Default: none.
    pub tls: Option<EtcdTls>,
    /// How long connecting to one endpoint may take. Default: 2 s.
    pub connect_timeout: Duration,
    /// How long one request may take, all endpoints together. At most a day. Default: 5 s, as Go Micro.
    pub request_timeout: Duration,
}

/// How to speak TLS with etcd. All texts are PEM.
#[derive(Clone, Default)]
pub struct EtcdTls {
    /// The authorities whose servers are believed.
    pub authorities: Vec<u8>,
    /// What this side shows, for an etcd with `--client-cert-auth`.
    pub identity: Option<Identity>,
    /// The name that the server must prove, when it is not the host of its address.
    pub server_name: Option<String>,
}

impl Default for EtcdServers {
    fn default() -> Self {
        Self {
            endpoints: vec!["127.0.0.1:2379".to_owned()],
            user: None,
            password: String::new(),
            tls: None,
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(5),
        }
    }
}

impl EtcdServers {
    /// Takes texts as [`endpoints`](Self::endpoints). None: the default.
    ///
    /// # Errors
    ///
    /// When a text is no address.
    pub fn from_addresses(addresses: &[String], role: Role) -> Result<Self> {
        let mut config = Self::default();
        if !addresses.is_empty() {
            config.endpoints = addresses.to_vec();
        }
        for address in &config.endpoints {
            uri(address, false, role)?;
        }
        Ok(config)
    }

    /// The addresses of all endpoints, whole: `http://127.0.0.1:2379`.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense.
    pub(crate) fn uris(&self, role: Role) -> Result<Vec<String>> {
        if self.endpoints.is_empty() {
            return Err(misconfigured(
                role,
                "there is no endpoint; name one such as 127.0.0.1:2379",
            ));
        }
        if self.connect_timeout.is_zero() || self.request_timeout.is_zero() {
            return Err(misconfigured(
                role,
                "a timeout of zero lets nothing happen; give at least a millisecond",
            ));
        }
        let uris = self
            .endpoints
            .iter()
            .map(|address| uri(address, self.tls.is_some(), role));
        let uris = uris.collect::<Result<Vec<String>>>()?;
        let encrypted = uris.iter().find(|uri| uri.starts_with("https"));
        if let (Some(uri), None) = (encrypted, &self.tls) {
            return Err(misconfigured(
                role,
                format!(
                    "{uri} wants TLS, but no authority to believe is configured; set `tls`, or ETCD_CACERT to a PEM file"
                ),
            ));
        }
        if let (Some(uri), Some(_)) = (uris.iter().find(|uri| uri.starts_with("http:")), &self.tls) {
            return Err(misconfigured(
                role,
                format!("{uri} is not encrypted though TLS is configured; write https:// or leave out `tls`"),
            ));
        }
        Ok(uris)
    }
}

impl fmt::Debug for EtcdServers {
    // The password is left out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EtcdServers")
            .field("endpoints", &self.endpoints)
            .field("user", &self.user)
            .field("tls", &self.tls)
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for EtcdTls {
    // The key is left out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EtcdTls")
            .field("server_name", &self.server_name)
            .field("shows_certificate", &self.identity.is_some())
            .finish_non_exhaustive()
    }
}

fn uri(address: &str, is_encrypted: bool, role: Role) -> Result<String> {
    let uri = server_uri(address, 2379, is_encrypted);
    uri.map_err(|why| match role {
        Role::Registry => misconfigured(role, why),
        Role::Config => misconfigured(role, why.trim_start_matches("registry ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_leave_out_what_is_usual() {
        let rows = [
            ("127.0.0.1", "http://127.0.0.1:2379"),
            ("etcd.example:12379", "http://etcd.example:12379"),
            (" http://etcd/ ", "http://etcd:2379"),
            ("https://etcd:1", "https://etcd:1"),
            ("[::1]:99", "http://[::1]:99"),
            ("::1", "http://[::1]:2379"),
            (":99", "http://127.0.0.1:99"),
        ];
        for (address, expected) in rows {
            assert_eq!(uri(address, false, Role::Registry).unwrap(), expected);
        }
        assert_eq!(uri("etcd", true, Role::Registry).unwrap(), "https://etcd:2379");
        for address in [
            "",
            "ftp://etcd",
            "etcd:x",
            "etcd:0",
            "etcd:99999",
            "a b",
            "me@etcd",
            "etcd/path",
        ] {
            let error = EtcdServers::from_addresses(&[address.to_owned()], Role::Config).unwrap_err();
            assert!(
                error.detail().contains(&format!("{:?}", address.trim())),
                "{error}"
            );
        }
    }

    #[test]
    fn an_encrypted_endpoint_needs_an_authority_and_a_plain_one_none() {
        let with = |endpoint: &str, tls| EtcdServers {
            endpoints: vec![endpoint.to_owned()],
            tls,
            ..EtcdServers::default()
        };
        assert!(
            with("https://etcd", None)
                .uris(Role::Registry)
                .unwrap_err()
                .detail()
                .contains("ETCD_CACERT")
        );
        assert!(
            with("http://etcd", Some(EtcdTls::default()))
                .uris(Role::Registry)
                .is_err()
        );
        assert_eq!(
            with("etcd", Some(EtcdTls::default()))
                .uris(Role::Registry)
                .unwrap(),
            ["https://etcd:2379"]
        );
    }

    #[test]
    fn the_password_stays_unseen() {
        let servers = EtcdServers {
            password: "secret".into(),
            ..EtcdServers::default()
        };
        assert!(!format!("{servers:?}").contains("secret"));
    }
}
