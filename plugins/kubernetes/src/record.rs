//! Labels and annotations: where a service is kept on its pod, and what is kept of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use micro_core::Result;
use micro_core::registry::ServiceRecord;
use micro_kubernetes_connection::Metadata;

use crate::error;
use crate::objects::Patch;

/// What our labels and annotations begin with.
pub(crate) const DOMAIN: &str = "micro.mu/";
/// Which pods have a service at all.
const TYPE: &str = "micro.mu/type";
const SERVICE: &str = "service";
/// Go Micro's annotation: the record of one version.
const RECORD: &str = "micro.mu/service-";
/// Ours, which Go Micro does not read: the records of all other versions …
const VERSIONS: &str = "micro.mu/versions-";
/// … and when which node lapses, in milliseconds since 1970, by version and id.
const EXPIRES: &str = "micro.mu/expires-";
const SELECTOR: &str = "micro.mu/selector-";
/// Kubernetes allows this many characters behind the slash of a key, and the longest of ours begins with `selector-`.
const LONGEST_NAME: usize = 63 - "selector-".len();

/// The query that selects all pods with services.
pub(crate) fn all_services() -> String {
    format!("{TYPE}={SERVICE}")
}

/// The keys of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    service: String,
    /// The name with `_` for what keys may not have.
    part: String,
}

impl Keys {
    /// # Errors
    ///
    /// When the name does not fit into keys.
    pub(crate) fn new(service: &str) -> Result<Self> {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let part: String = service
            .bytes()
            .map(|byte| if is_fine(byte) { char::from(byte) } else { '_' })
            .collect();
        let why = if !part.ends_with(|last: char| last.is_ascii_alphanumeric()) {
            "its name must end with a letter or a digit"
        } else if part.len() > LONGEST_NAME {
            "its name may have at most 54 bytes"
        } else {
            return Ok(Self {
                service: service.to_owned(),
                part,
            });
        };
        Err(error::misconfigured(format!(
            "service {service} cannot be a label of a pod: {why}; rename it"
        )))
    }

    /// The query that selects the service's pods. Other services whose names differ in replaced bytes only are among
    /// them.
    pub(crate) fn selector(&self) -> String {
        format!("{SELECTOR}{}={SERVICE}", self.part)
    }
}

/// What a pod tells of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// One a version. The first is the one that Go Micro reads.
    records: Vec<ServiceRecord>,
    expires: Expires,
}

/// By version and id of the node.
type Expires = BTreeMap<String, BTreeMap<String, u64>>;

/// A node of a pod: version and id.
pub(crate) type NodeKey = (String, String);

impl Told {
    /// What annotations tell of one service.
    pub(crate) fn of(metadata: &Metadata, keys: &Keys) -> Self {
        Self::read(metadata, &keys.part)
    }

    /// What annotations tell of all services.
    pub(crate) fn all(metadata: &Metadata) -> Vec<Self> {
        let keys = metadata
            .annotations
            .iter()
            .flat_map(|annotations| annotations.keys());
        let parts = keys.filter_map(|key| key.strip_prefix(RECORD));
        parts
            .map(|part| Self::read(metadata, part))
            .filter(|told| !told.records.is_empty())
            .collect()
    }

    fn read(metadata: &Metadata, part: &str) -> Self {
        let get = |prefix: &str| {
            let annotations = metadata.annotations.as_ref()?;
            annotations.get(&format!("{prefix}{part}")).map(String::as_str)
        };
        let pod = &metadata.name;
        let first: Option<ServiceRecord> = get(RECORD).and_then(|text| parse(text, RECORD, part, pod));
        let others: Option<Vec<ServiceRecord>> =
            get(VERSIONS).and_then(|text| parse(text, VERSIONS, part, pod));
        let expires: Option<Expires> = get(EXPIRES).and_then(|text| parse(text, EXPIRES, part, pod));
        let records = first.into_iter().chain(others.unwrap_or_default());
        Self {
            records: unique(records),
            expires: expires.unwrap_or_default(),
        }
    }

    /// The name of the service, if there is a record.
    pub(crate) fn service(&self) -> Option<&str> {
        self.records.first().map(|record| record.name.as_str())
    }

    /// The records with the nodes that have not lapsed.
    pub(crate) fn live(&self, now: u64) -> impl Iterator<Item = ServiceRecord> {
        let live = self.records.iter().map(move |record| {
            let nodes = record.nodes.iter();
            let live = nodes.filter(|node| {
                self.expiry(&record.version, &node.id)
                    .is_none_or(|when| now < when)
            });
            record.with_nodes(live.cloned().collect())
        });
        live.filter(|record| !record.nodes.is_empty())
    }

    /// When the next node lapses.
    pub(crate) fn next_lapse(&self, now: u64) -> Option<u64> {
        let all = self.expires.values().flat_map(BTreeMap::values);
        all.copied().filter(|when| now < *when).min()
    }

    /// Notes the nodes of a record. `expires` is when they lapse; None: never.
    pub(crate) fn put(&mut self, service: &ServiceRecord, expires: Option<u64>) {
        let place = match self
            .records
            .iter()
            .position(|known| known.version == service.version)
        {
            Some(place) => place,
            None => {
                self.records.push(service.with_nodes(Vec::new()));
                self.records.len() - 1
            }
        };
        let known = &mut self.records[place];
        known.metadata.clone_from(&service.metadata);
        known.endpoints.clone_from(&service.endpoints);
        for node in &service.nodes {
            match known.nodes.iter_mut().find(|known| known.id == node.id) {
                Some(known) => known.clone_from(node),
                None => known.nodes.push(node.clone()),
            }
            let of_version = self.expires.entry(service.version.clone()).or_default();
            match expires {
                Some(when) => of_version.insert(node.id.clone(), when),
                None => of_version.remove(&node.id),
            };
        }
        self.tidy();
    }

    /// Takes the nodes of a record out.
    pub(crate) fn remove(&mut self, service: &ServiceRecord) {
        let is_meant = |id: &str| service.nodes.iter().any(|node| node.id == id);
        self.keep(|version, id, _| version != service.version || !is_meant(id));
    }

    /// Leaves out what lapsed.
    pub(crate) fn sweep(&mut self, now: u64) {
        self.keep(|_, _, expires| expires.is_none_or(|when| now < when));
    }

    /// Leaves out what does not lapse by itself and was not registered from here: it is what a process left that was in
    /// the pod before. A neighbour's is among it, since nothing tells whose a node is; the neighbour registers it again.
    pub(crate) fn clear(&mut self, own: &BTreeSet<NodeKey>) {
        self.keep(|version, id, expires| {
            expires.is_some() || own.contains(&(version.to_owned(), id.to_owned()))
        });
    }

    fn keep(&mut self, wanted: impl Fn(&str, &str, Option<u64>) -> bool) {
        let expires = &self.expires;
        for record in &mut self.records {
            let of_version = expires.get(&record.version);
            record.nodes.retain(|node| {
                let when = of_version.and_then(|nodes| nodes.get(&node.id)).copied();
                wanted(&record.version, &node.id, when)
            });
        }
        self.tidy();
    }

    fn tidy(&mut self) {
        self.records.retain(|record| !record.nodes.is_empty());
        for record in &self.records {
            if let Some(nodes) = self.expires.get_mut(&record.version) {
                nodes.retain(|id, _| record.nodes.iter().any(|node| node.id == *id));
            }
        }
        let records = &self.records;
        self.expires.retain(|version, nodes| {
            !nodes.is_empty() && records.iter().any(|record| record.version == *version)
        });
    }

    fn expiry(&self, version: &str, id: &str) -> Option<u64> {
        self.expires.get(version)?.get(id).copied()
    }

    /// What makes a pod tell this.
    ///
    /// # Errors
    ///
    /// When the record is no JSON.
    pub(crate) fn patch(&self, metadata: &Metadata, keys: &Keys) -> Result<Patch> {
        let is_there = !self.records.is_empty();
        let mut patch = Patch::default();
        let part = &keys.part;
        let mut labels = vec![(format!("{SELECTOR}{part}"), is_there.then(|| SERVICE.to_owned()))];
        if is_there {
            labels.push((TYPE.to_owned(), Some(SERVICE.to_owned())));
        }
        let others = self.records.get(1..).filter(|others| !others.is_empty());
        let expires = (!self.expires.is_empty()).then_some(&self.expires);
        let annotations = [
            (
                format!("{RECORD}{part}"),
                self.records.first().map(json).transpose()?,
            ),
            (format!("{VERSIONS}{part}"), others.map(json).transpose()?),
            (format!("{EXPIRES}{part}"), expires.map(json).transpose()?),
        ];
        let changes = &mut patch.metadata;
        changes.labels = differing(metadata.labels.as_ref(), labels);
        changes.annotations = differing(metadata.annotations.as_ref(), annotations);
        changes.resource_version.clone_from(&metadata.resource_version);
        Ok(patch)
    }
}

/// Each node of each version once: the first that is told.
pub(crate) fn unique(records: impl IntoIterator<Item = ServiceRecord>) -> Vec<ServiceRecord> {
    let mut merged: Vec<ServiceRecord> = Vec::new();
    let mut places: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut seen: BTreeSet<(usize, String)> = BTreeSet::new();
    for mut record in records {
        let nodes = std::mem::take(&mut record.nodes);
        let place = *places
            .entry((record.name.clone(), record.version.clone()))
            .or_insert_with(|| {
                merged.push(record);
                merged.len() - 1
            });
        let new = nodes
            .into_iter()
            .filter(|node| seen.insert((place, node.id.clone())));
        merged[place].nodes.extend(new);
    }
    merged.retain(|record| !record.nodes.is_empty());
    merged
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    since_1970(Duration::ZERO)
}

/// The time in a while, in milliseconds since 1970.
pub(crate) fn since_1970(after: Duration) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.saturating_add(after).as_millis()).unwrap_or(u64::MAX)
}

fn differing(
    known: Option<&BTreeMap<String, String>>,
    wanted: impl IntoIterator<Item = (String, Option<String>)>,
) -> BTreeMap<String, Option<String>> {
    let known = |key: &String| known.and_then(|known| known.get(key));
    wanted
        .into_iter()
        .filter(|(key, value)| known(key) != value.as_ref())
        .collect()
}

fn json(value: &(impl serde::Serialize + ?Sized)) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|problem| error::misconfigured("the record is no JSON").with_source(problem))
}

fn parse<T: for<'a> serde::Deserialize<'a>>(text: &str, prefix: &str, part: &str, pod: &str) -> Option<T> {
    match serde_json::from_str(text) {
        Ok(value) => Some(value),
        Err(problem) => {
            tracing::debug!("kubernetes: the annotation {prefix}{part} of pod {pod} is left out: {problem}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use micro_core::registry::Node;

    use super::*;

    fn greeter(version: &str, ids: &[&str]) -> ServiceRecord {
        let nodes = ids.iter().map(|id| Node::new(*id, "127.0.0.1:1")).collect();
        ServiceRecord::new("greeter", version).with_nodes(nodes)
    }

    fn keys() -> Keys {
        Keys::new("greeter").unwrap()
    }

    /// The pod after a patch.
    fn patched(mut metadata: Metadata, patch: &Patch) -> Metadata {
        for (of, changes) in [
            (&mut metadata.labels, &patch.metadata.labels),
            (&mut metadata.annotations, &patch.metadata.annotations),
        ] {
            let of = of.get_or_insert_default();
            for (key, value) in changes {
                match value {
                    Some(value) => of.insert(key.clone(), value.clone()),
                    None => of.remove(key),
                };
            }
        }
        metadata
    }

    #[test]
    fn names_become_keys_as_go_micro_makes_them() {
        assert_eq!(Keys::new("go.micro.srv-x_1").unwrap().part, "go.micro.srv-x_1");
        assert_eq!(Keys::new("a/b c+ü9").unwrap().part, "a_b_c___9");
        assert_eq!(keys().selector(), "micro.mu/selector-greeter=service");
        let longest = "x".repeat(54);
        assert!(Keys::new(&longest).is_ok());
        for name in ["", "dot.", "dash-", "space ", &format!("{longest}x")] {
            let error = Keys::new(name).unwrap_err();
            assert!(error.detail().contains(&format!("service {name} ")), "{error}");
        }
    }

    #[test]
    fn the_patch_is_go_micros_with_the_version_of_the_pod() {
        let metadata = Metadata {
            resource_version: "7".into(),
            ..Metadata::default()
        };
        let mut told = Told::default();
        let mut record = greeter("latest", &["greeter-1"]);
        record.nodes[0].metadata.insert("protocol".into(), "mucp".into());
        told.put(&record, None);
        let patch = told.patch(&metadata, &keys()).unwrap();
        assert_eq!(
            serde_json::to_string(&patch).unwrap(),
            concat!(
                r#"{"metadata":{"labels":{"micro.mu/selector-greeter":"service","micro.mu/type":"service"},"#,
                r#""annotations":{"micro.mu/service-greeter":"{\"name\":\"greeter\",\"version\":\"latest\","#,
                r#"\"metadata\":null,\"endpoints\":null,\"nodes\":[{\"metadata\":{\"protocol\":\"mucp\"},"#,
                r#"\"id\":\"greeter-1\",\"address\":\"127.0.0.1:1\"}]}"},"resourceVersion":"7"}}"#
            )
        );
        let metadata = patched(metadata, &patch);
        assert!(
            told.patch(&metadata, &keys()).unwrap().is_empty(),
            "nothing is left to do"
        );

        told.remove(&record);
        assert_eq!(
            serde_json::to_string(&told.patch(&metadata, &keys()).unwrap()).unwrap(),
            r#"{"metadata":{"labels":{"micro.mu/selector-greeter":null},"annotations":{"micro.mu/service-greeter":null},"resourceVersion":"7"}}"#
        );
    }

    #[test]
    fn versions_nodes_and_their_times_are_carried_beside_go_micros_record() {
        let mut told = Told::default();
        told.put(&greeter("1", &["a"]), Some(100));
        told.put(&greeter("1", &["b"]), None);
        told.put(&greeter("2", &["c"]), Some(200));
        let metadata = patched(
            Metadata::default(),
            &told.patch(&Metadata::default(), &keys()).unwrap(),
        );
        let annotations = metadata.annotations.clone().unwrap();
        let value = |prefix: &str| annotations.get(&format!("{prefix}greeter")).unwrap().as_str();
        let of_go: ServiceRecord = serde_json::from_str(value(RECORD)).unwrap();
        assert_eq!(of_go, greeter("1", &["a", "b"]));
        assert_eq!(value(EXPIRES), r#"{"1":{"a":100},"2":{"c":200}}"#);
        assert_eq!(Told::of(&metadata, &keys()), told);
        assert_eq!(Told::all(&metadata), [told.clone()]);

        assert_eq!(told.live(99).count(), 2);
        assert_eq!(told.next_lapse(99), Some(100));
        assert!(told.live(100).eq([greeter("1", &["b"]), greeter("2", &["c"])]));
        assert_eq!(told.next_lapse(200), None);
        assert!(told.live(200).eq([greeter("1", &["b"])]));

        told.remove(&greeter("1", &["a", "b"]));
        assert_eq!(
            told.records,
            [greeter("2", &["c"])],
            "Go Micro sees the version that is left"
        );
        told.remove(&greeter("2", &["c"]));
        assert_eq!(told, Told::default());
    }

    #[test]
    fn what_an_earlier_process_left_is_swept() {
        let mut told = Told::default();
        told.put(&greeter("1", &["forgotten", "own"]), None);
        told.put(&greeter("1", &["lapsed"]), Some(100));
        told.put(&greeter("1", &["neighbour"]), Some(101));
        told.sweep(100);
        assert_eq!(told.records, [greeter("1", &["forgotten", "own", "neighbour"])]);
        told.clear(&[("1".to_owned(), "own".to_owned())].into());
        assert_eq!(told.records, [greeter("1", &["own", "neighbour"])]);
        assert_eq!(told.expires.len(), 1);
    }

    #[test]
    fn what_is_no_record_is_left_out() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            "{",
            "null",
            "7",
            "[]",
            r#"{"name":"a"}"#,
            r#"{"nodes":7}"#,
            &deep,
        ] {
            let annotations = [
                ("micro.mu/service-greeter".to_owned(), text.to_owned()),
                ("micro.mu/versions-greeter".to_owned(), text.to_owned()),
                ("micro.mu/expires-greeter".to_owned(), text.to_owned()),
            ];
            let metadata = Metadata {
                annotations: Some(annotations.into()),
                ..Metadata::default()
            };
            assert_eq!(Told::of(&metadata, &keys()).live(0).count(), 0, "{text}");
            assert!(Told::all(&metadata).is_empty());
        }
    }
}
