//! The JSON of Consul's API, as far as a registry needs it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::check::Check;

/// What an agent is asked to register, with the fields that Go Micro writes, in their order.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Registration {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    #[serde(rename = "Name")]
    pub(crate) name: String,
    #[serde(rename = "Tags")]
    pub(crate) tags: Vec<String>,
    #[serde(rename = "Port", skip_serializing_if = "is_zero")]
    pub(crate) port: u16,
    #[serde(rename = "Address")]
    pub(crate) address: String,
    #[serde(rename = "Meta", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) meta: BTreeMap<String, String>,
    #[serde(rename = "Check")]
    pub(crate) check: Option<Check>,
    #[serde(rename = "Checks")]
    pub(crate) checks: (),
    #[serde(rename = "Connect", skip_serializing_if = "Option::is_none")]
    pub(crate) connect: Option<Connect>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Connect {
    #[serde(rename = "Native")]
    pub(crate) native: bool,
}

fn is_zero(port: &u16) -> bool {
    *port == 0
}

/// A service as an agent or the catalog knows it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Service {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    /// Its name.
    pub(crate) service: String,
    #[serde(deserialize_with = "empty_when_null")]
    pub(crate) tags: Vec<String>,
    /// Others may register what is no port.
    pub(crate) port: i64,
    pub(crate) address: String,
    #[serde(deserialize_with = "empty_when_null")]
    pub(crate) meta: BTreeMap<String, String>,
    pub(crate) modify_index: u64,
    #[serde(deserialize_with = "empty_when_null")]
    pub(crate) proxy: Proxy,
}

/// What a proxy of the service mesh stands for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Proxy {
    pub(crate) destination_service_name: String,
}

/// A service with the agent that has it, and its checks.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Entry {
    #[serde(deserialize_with = "empty_when_null")]
    pub(crate) node: AgentNode,
    #[serde(deserialize_with = "empty_when_null")]
    pub(crate) service: Service,
    #[serde(deserialize_with = "empty_when_null")]
    pub(crate) checks: Vec<CheckState>,
}

/// Consul's word for a machine with an agent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct AgentNode {
    pub(crate) address: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct CheckState {
    pub(crate) node: String,
    #[serde(rename = "CheckID")]
    pub(crate) check_id: String,
    pub(crate) service_name: String,
    pub(crate) status: String,
}

impl CheckState {
    /// Agent and id, which no other check has.
    pub(crate) fn key(&self) -> (String, String) {
        (self.node.clone(), self.check_id.clone())
    }

    pub(crate) fn is_critical(&self) -> bool {
        self.status == "critical"
    }
}

/// The names of all services, with the tags of all of its registrations.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Names(pub(crate) BTreeMap<String, Option<Vec<String>>>);

fn empty_when_null<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
