//! Which keys are read, and where they are.

use micro_config::{KeyFolder, Result};
use micro_consul_connection::{ConsulAgents, is_askable};

use crate::error;

/// Which keys are read, and where they are. The default is Go Micro's prefix at the agent of this machine.
#[derive(Debug, Clone, Default)]
pub struct ConsulSourceConfig {
    /// Where Consul is, and how to speak with it.
    pub agents: ConsulAgents,
    /// Which keys are read. A slash at the beginning of the prefix counts for nothing, since Consul's keys have none.
    pub keys: KeyFolder,
}

impl ConsulSourceConfig {
    /// What a text of the command line says, behind its `consul:`: `micro/config`, `micro/config/`,
    /// `//10.0.0.7:8500/micro/config`, each also with `?format=yaml` or `&strip=false`, as [`KeyFolder::from_text`] reads
    /// it. What the text does not say of the agents, as their token, is as given; addresses that it names take the place
    /// of those given.
    ///
    /// # Errors
    ///
    /// Of the kind [`Misused`](micro_config::ErrorKind::Misused), when the text has an option that there is not, or a
    /// login.
    pub fn from_text(text: &str, mut agents: ConsulAgents) -> Result<Self> {
        let (keys, addresses) = KeyFolder::from_text(text).map_err(|error| error.context("consul"))?;
        if !addresses.is_empty() {
            agents.addresses = addresses;
        }
        Ok(Self { agents, keys })
    }

    /// The folder as Consul's keys have it.
    pub(crate) fn folder(&self) -> Result<KeyFolder> {
        let prefix = self.keys.prefix.trim_start_matches('/');
        if !prefix.is_empty() && !is_askable(prefix) {
            return Err(error::misused(format_args!(
                "the prefix {prefix:?} has characters that cannot be printed, which Consul refuses"
            )));
        }
        Ok(KeyFolder {
            prefix: prefix.to_owned(),
            ..self.keys.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use micro_config::ErrorKind;

    use super::*;

    #[test]
    fn a_text_may_name_agents_and_leaves_the_token_as_it_is() {
        let agents = ConsulAgents {
            token: Some("secret".into()),
            ..ConsulAgents::default()
        };
        let config = ConsulSourceConfig::from_text("//10.0.0.7/micro/config", agents.clone()).unwrap();
        assert_eq!(config.agents.addresses, ["10.0.0.7"]);
        assert_eq!(config.agents.token.as_deref(), Some("secret"));
        assert_eq!(config.folder().unwrap().prefix, "micro/config");
        assert!(!format!("{config:?}").contains("secret"));
        let config = ConsulSourceConfig::from_text("", agents).unwrap();
        assert_eq!(config.agents.addresses, ["127.0.0.1:8500"]);
        assert_eq!(config.folder().unwrap().prefix, "micro/config/");
    }

    #[test]
    fn what_consul_cannot_be_asked_for_is_refused() {
        let config = ConsulSourceConfig::from_text("a\nb", ConsulAgents::default()).unwrap();
        assert_eq!(config.folder().unwrap_err().kind(), ErrorKind::Misused);
        let error = ConsulSourceConfig::from_text("a?b=c", ConsulAgents::default()).unwrap_err();
        assert!(error.to_string().starts_with("consul: "), "{error}");
    }
}
