//! Where etcd is, and how to speak with it.

use std::fmt;
use std::time::Duration;

use micro_core::Result;
use micro_core::backend::{Role, ServerTls, server_uri};

use crate::error::ETCD;

/// Where a member listens, unless its address says otherwise.
const PORT: u16 = 2379;

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

/// How to speak TLS with etcd. One with `--client-cert-auth` wants an identity.
pub type EtcdTls = ServerTls;

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
            server_uri(address, PORT, false).map_err(|why| ETCD.misconfigured(role, why))?;
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
            return Err(ETCD.misconfigured(role, "there is no endpoint; name one such as 127.0.0.1:2379"));
        }
        if self.connect_timeout.is_zero() || self.request_timeout.is_zero() {
            return Err(ETCD.misconfigured(
                role,
                "a timeout of zero lets nothing happen; give at least a millisecond",
            ));
        }
        ETCD.uris(role, &self.endpoints, PORT, self.tls.as_ref())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_told() {
        let error = EtcdServers::from_addresses(&["etcd:x".to_owned()], Role::Config).unwrap_err();
        assert_eq!(error.id(), "go.micro.config");
        assert!(error.detail().contains("\"etcd:x\""), "{error}");
    }

    #[test]
    fn an_encrypted_endpoint_needs_an_authority() {
        let servers = EtcdServers {
            endpoints: vec!["https://etcd".to_owned()],
            ..EtcdServers::default()
        };
        let error = servers.uris(Role::Registry).unwrap_err();
        assert!(error.detail().contains("ETCD_CACERT"), "{error}");
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
