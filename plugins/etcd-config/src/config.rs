//! Which keys are read, and where they are.

use micro_config::{KeyFolder, Result};
use micro_etcd_connection::{EtcdServers, KeyRange};

/// Which keys are read, and where they are. The default is Go Micro's prefix at an etcd of this machine.
#[derive(Debug, Clone, Default)]
pub struct EtcdSourceConfig {
    /// Where etcd is, and how to speak with it.
    pub servers: EtcdServers,
    /// Which keys are read. The prefix is taken as it is: etcd's keys may begin with a slash or not, and Go Micro's do.
    pub keys: KeyFolder,
}

impl EtcdSourceConfig {
    /// What a text of the command line says, behind its `etcd:`: `micro/config`, `micro/config/`,
    /// `//10.0.0.7:2379,10.0.0.8:2379/micro/config`, each also with `?format=yaml` or `&strip=false`, as
    /// [`KeyFolder::from_text`] reads it: the prefix begins with a slash, also where the text does not. What the text does
    /// not say of the servers, as their user, is as given; addresses that it names take the place of those given.
    ///
    /// # Errors
    ///
    /// Of the kind [`Misused`](micro_config::ErrorKind::Misused), when the text has an option that there is not, or a
    /// login.
    pub fn from_text(text: &str, mut servers: EtcdServers) -> Result<Self> {
        let (keys, addresses) = KeyFolder::from_text(text).map_err(|error| error.context("etcd"))?;
        if !addresses.is_empty() {
            servers.endpoints = addresses;
        }
        Ok(Self { servers, keys })
    }

    /// All keys that may be meant. Some of them may have names that only begin as the folder's.
    pub(crate) fn range(&self) -> KeyRange {
        match self.keys.is_with_own_key() {
            true => KeyRange::key_and_below(&self.keys.prefix),
            false => KeyRange::prefixed(&self.keys.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_name_endpoints_and_leaves_the_user_as_it_is() {
        let servers = EtcdServers {
            user: Some("shop".into()),
            password: "secret".into(),
            ..EtcdServers::default()
        };
        let config =
            EtcdSourceConfig::from_text("//10.0.0.7,10.0.0.8:1/micro/config", servers.clone()).unwrap();
        assert_eq!(config.servers.endpoints, ["10.0.0.7", "10.0.0.8:1"]);
        assert_eq!(config.servers.user.as_deref(), Some("shop"));
        assert_eq!(config.keys.prefix, "/micro/config");
        assert!(!format!("{config:?}").contains("secret"));
        let config = EtcdSourceConfig::from_text("micro/config/", servers.clone()).unwrap();
        assert_eq!(config.servers.endpoints, ["127.0.0.1:2379"]);
        assert_eq!(config.keys.prefix, "/micro/config/");
        let error = EtcdSourceConfig::from_text("//me:secret@host/a", servers).unwrap_err();
        assert!(error.to_string().starts_with("etcd: ") && !error.to_string().contains("secret"));
    }
}
