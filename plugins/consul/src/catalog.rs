//! Asking Consul who is where.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use micro_consul_connection::{Answer, ConsulClient, Path, is_askable};
use micro_core::Result;
use micro_core::registry::ServiceRecord;

use crate::message::{CheckState, Entry, Names};
use crate::record;
use crate::tags::{self, BUDGET};

/// How many services are looked up at the same time where all are.
const AT_ONCE: usize = 8;

/// The services of one datacenter, as its servers know them.
#[derive(Clone)]
pub(crate) struct Catalog {
    pub(crate) client: Arc<ConsulClient>,
    connect: bool,
}

/// A check, by agent and id.
type CheckKey = (String, String);
/// The checks that are critical.
pub(crate) type Critical = BTreeSet<CheckKey>;
/// The checks of what was looked up, and whether they were critical.
pub(crate) type Checks = BTreeMap<CheckKey, bool>;

impl Catalog {
    pub(crate) fn new(client: Arc<ConsulClient>, connect: bool) -> Self {
        Self { client, connect }
    }

    /// Where the nodes of a service are asked for, with their checks.
    pub(crate) fn service(&self, name: &str) -> Path {
        self.client.in_datacenter(self.nodes_of(name))
    }

    fn nodes_of(&self, name: &str) -> Path {
        let folder = match self.connect {
            true => "/v1/health/connect/",
            false => "/v1/health/service/",
        };
        Path::new(folder).name(name)
    }

    /// Where the names of all services are asked for, with their tags.
    pub(crate) fn services(&self) -> Path {
        self.client.in_datacenter(Path::new("/v1/catalog/services"))
    }

    /// Where the critical checks are asked for. Waiting there ends with a change of any check.
    pub(crate) fn critical(&self) -> Path {
        self.client.in_datacenter(Path::new("/v1/health/state/critical"))
    }

    /// The nodes of a service, as one server knows them, which works without a leader.
    pub(crate) async fn look_up(&self, name: &str) -> Result<Vec<ServiceRecord>> {
        let path = self.nodes_of(name).query("stale", "");
        let answer = self.client.get(&self.client.in_datacenter(path)).await?;
        self.records(name, &answer)
    }

    pub(crate) fn records(&self, name: &str, answer: &Answer) -> Result<Vec<ServiceRecord>> {
        let entries: Vec<Entry> = answer.json(&self.client)?;
        Ok(record::records(name, entries, &mut BUDGET.clone()))
    }

    /// All services without their nodes: names and versions from one request, and the nodes only of those with a
    /// critical check, which may have none that is alive.
    pub(crate) async fn list(&self) -> Result<Vec<ServiceRecord>> {
        let names: Names = self.client.get(&self.services()).await?.json(&self.client)?;
        let critical: Vec<CheckState> = self.client.get(&self.critical()).await?.json(&self.client)?;
        // A check of an agent itself concerns all that it has.
        let all = critical.iter().any(|check| check.service_name.is_empty());
        let doubtful: BTreeSet<&str> = critical.iter().map(|check| check.service_name.as_str()).collect();
        let is_doubtful = |name: &str| all || doubtful.contains(name);
        let mut listed = BTreeMap::new();
        let mut budget = BUDGET;
        for (name, tags) in &names.0 {
            if is_askable(name) && !is_doubtful(name) {
                listed.insert(name.clone(), versions(name, tags.as_deref(), &mut budget));
            }
        }
        let asked = names.0.into_keys().filter(|name| is_doubtful(name));
        let (found, _) = self.look_up_all(asked).await?;
        for (name, records) in found {
            listed.insert(name, ServiceRecord::merge_versions(records));
        }
        Ok(listed.into_values().flatten().collect())
    }

    /// The nodes of all these services as their leader knows them, and their checks. Names that Consul cannot be asked
    /// for are left out.
    pub(crate) async fn look_up_all(
        &self,
        names: impl IntoIterator<Item = String>,
    ) -> Result<(BTreeMap<String, Vec<ServiceRecord>>, Checks)> {
        let names: Vec<String> = names.into_iter().filter(|name| is_askable(name)).collect();
        let looked_up = names.into_iter().map(|name| self.look_up_fresh(name));
        let mut found = stream::iter(looked_up).buffer_unordered(AT_ONCE);
        let (mut records, mut checks) = (BTreeMap::new(), Checks::new());
        while let Some((name, nodes, of_nodes)) = found.try_next().await? {
            records.insert(name, nodes);
            checks.extend(of_nodes);
        }
        Ok((records, checks))
    }

    async fn look_up_fresh(&self, name: String) -> Result<(String, Vec<ServiceRecord>, Checks)> {
        let answer = self.client.get(&self.service(&name)).await?;
        let entries: Vec<Entry> = answer.json(&self.client)?;
        let checks = entries.iter().flat_map(|entry| &entry.checks);
        let checks = checks.map(|check| (check.key(), check.is_critical())).collect();
        let records = record::records(&name, entries, &mut BUDGET.clone());
        Ok((name, records, checks))
    }
}

pub(crate) fn critical_of<'a>(checks: impl Iterator<Item = &'a CheckState>) -> Critical {
    let critical = checks.filter(|check| check.is_critical());
    critical.map(CheckState::key).collect()
}

/// A service's records by the tags of all its nodes together.
fn versions(name: &str, tags: Option<&[String]>, budget: &mut usize) -> Vec<ServiceRecord> {
    let mut versions: BTreeSet<String> = tags::texts(tags.unwrap_or_default(), b'v', budget).collect();
    if versions.is_empty() {
        versions.insert(String::new());
    }
    let records = versions
        .into_iter()
        .map(|version| ServiceRecord::new(name, version));
    records.collect()
}
