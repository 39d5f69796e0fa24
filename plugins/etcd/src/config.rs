//! Where etcd is, and how to speak with it.

use std::fmt;
use std::time::Duration;

use micro_core::Result;
use micro_etcd_connection::{EtcdServers, EtcdTls, Role};

/// How to reach etcd. The default meets Go Micro's services at an etcd of this machine.
#[derive(Clone)]
pub struct EtcdConfig {
    /// The members of the cluster, each as `host`, `host:port`, `http://host:port` or `https://host:port`. One is
    /// used until it fails, then the next. Without a port, 2379; without a scheme, `https` if there is
    /// [`tls`](Self::tls). Default: `127.0.0.1:2379`.
    pub endpoints: Vec<String>,
    /// What all keys begin with. Only services of the same prefix meet. Default: `/micro/registry/`, as Go Micro.
    pub prefix: String,
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

impl Default for EtcdConfig {
    fn default() -> Self {
        let connection = EtcdServers::default();
        Self {
            endpoints: connection.endpoints,
            prefix: "/micro/registry/".to_owned(),
            user: None,
            password: String::new(),
            tls: None,
            connect_timeout: connection.connect_timeout,
            request_timeout: connection.request_timeout,
        }
    }
}

impl EtcdConfig {
    /// Takes the texts of `--registry_address` as [`endpoints`](Self::endpoints). None: the default.
    ///
    /// # Errors
    ///
    /// When a text is no address.
    pub fn from_addresses(addresses: &[String]) -> Result<Self> {
        let connection = EtcdServers::from_addresses(addresses, Role::Registry)?;
        Ok(Self {
            endpoints: connection.endpoints,
            ..Self::default()
        })
    }

    pub(crate) fn connection(&self) -> EtcdServers {
        EtcdServers {
            endpoints: self.endpoints.clone(),
            user: self.user.clone(),
            password: self.password.clone(),
            tls: self.tls.clone(),
            connect_timeout: self.connect_timeout,
            request_timeout: self.request_timeout,
        }
    }

    /// The prefix with the slash that ends it.
    pub(crate) fn key_prefix(&self) -> String {
        match self.prefix.ends_with('/') {
            true => self.prefix.clone(),
            false => format!("{}/", self.prefix),
        }
    }
}

impl fmt::Debug for EtcdConfig {
    // The password is left out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EtcdConfig")
            .field("endpoints", &self.endpoints)
            .field("prefix", &self.prefix)
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
    fn a_prefix_ends_with_a_slash_and_the_password_stays_unseen() {
        let config = EtcdConfig {
            prefix: "/staging".into(),
            password: "secret".into(),
            ..EtcdConfig::default()
        };
        assert_eq!(config.key_prefix(), "/staging/");
        assert!(!format!("{config:?}").contains("secret"));
    }
}
