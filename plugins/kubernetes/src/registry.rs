//! The registry itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use micro_core::Result;
use micro_core::registry::{RegisterOptions, Registry, ServiceRecord, Watcher, service_not_found};
use micro_kubernetes_connection::{Client, List, METADATA, METADATA_LIST, OBJECT, Query};

use crate::config::{EndpointSlices, KubernetesConfig};
use crate::error::ROLE;
use crate::objects::{EndpointSlice, Nothing, Pod};
use crate::pod::OwnPod;
use crate::record::{Keys, Told, all_services, now, unique};
use crate::slices;
use crate::watch::Source;

/// Go Micro's registry in Kubernetes: services are labels and annotations of the pods that they run in.
///
/// Clones share connections. It has no task of its own but those of its connections.
#[derive(Clone)]
pub struct KubernetesRegistry(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) client: Arc<Client>,
    pod: OwnPod,
    namespace: String,
    ready_only: bool,
    endpoint_slices: Option<EndpointSlices>,
}

impl KubernetesRegistry {
    /// Connects, and makes sure that the pods of the namespace may be listed.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense, the API server does not answer, or does not let this process list pods.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time enabled.
    pub async fn connect(config: KubernetesConfig) -> Result<Self> {
        let client = Arc::new(Client::new(&config.connection()?, ROLE)?);
        let shared = Shared {
            pod: OwnPod::new(client.clone(), config.pod, config.expire),
            client,
            namespace: config.namespace,
            ready_only: config.ready_only,
            endpoint_slices: config.endpoint_slices,
        };
        let mut one = shared.pods(None);
        one.selectors.push_str("&limit=1");
        let path = shared
            .client
            .path(one.group, one.resource, &format!("?{}", one.selectors));
        let listed: Result<Nothing> = shared.client.get(path, METADATA_LIST, &one.grant).await;
        listed.map_err(|error| {
            error.context(format_args!(
                "cannot connect to kubernetes ({}, namespace {})",
                shared.client.address(),
                shared.namespace
            ))
        })?;
        Ok(Self(Arc::new(shared)))
    }
}

impl fmt::Debug for KubernetesRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KubernetesRegistry")
            .field("server", &self.0.client.address())
            .field("namespace", &self.0.namespace)
            .field("pod", &self.0.pod.name())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Registry for KubernetesRegistry {
    fn name(&self) -> &str {
        "kubernetes"
    }

    async fn register(&self, service: &ServiceRecord, options: RegisterOptions) -> Result<()> {
        let registered = self.0.pod.register(service, options).await;
        registered.map_err(|error| {
            let (service, pod) = (&service.name, self.0.pod.name());
            error.context(format_args!("cannot register service {service} at the pod {pod}"))
        })
    }

    async fn deregister(&self, service: &ServiceRecord) -> Result<()> {
        let deregistered = self.0.pod.deregister(service).await;
        deregistered.map_err(|error| {
            let (service, pod) = (&service.name, self.0.pod.name());
            error.context(format_args!(
                "cannot deregister service {service} at the pod {pod}"
            ))
        })
    }

    async fn get_service(&self, name: &str) -> Result<Vec<ServiceRecord>> {
        let found = self.0.find(name).await;
        let found = found.map_err(|error| error.context(format_args!("cannot look up service {name}")))?;
        if found.is_empty() {
            return Err(service_not_found(name));
        }
        Ok(ServiceRecord::merge_versions(found))
    }

    async fn list_services(&self) -> Result<Vec<ServiceRecord>> {
        let listed = self.0.list(None).await;
        let listed = listed.map_err(|error| {
            error.context(format_args!(
                "cannot list the services of namespace {}",
                self.0.namespace
            ))
        })?;
        let mut services: BTreeMap<String, Vec<ServiceRecord>> = BTreeMap::new();
        for record in listed {
            services.entry(record.name.clone()).or_default().push(record);
        }
        let versions = services.into_values().flat_map(ServiceRecord::merge_versions);
        Ok(versions.collect())
    }

    async fn watch(&self, service: Option<&str>) -> Result<Watcher> {
        let of = service.map_or_else(|| "all services".to_owned(), |name| format!("service {name}"));
        let watched = match Source::new(&self.0, service) {
            Ok(source) => Watcher::follow(format!("the watch of {of} at kubernetes"), source).await,
            Err(error) => Err(error),
        };
        watched.map_err(|error| error.context(format_args!("cannot watch {of}")))
    }
}

impl Shared {
    async fn find(&self, service: &str) -> Result<Vec<ServiceRecord>> {
        // What cannot be registered is not there.
        let Ok(keys) = Keys::new(service) else {
            return Ok(Vec::new());
        };
        let mut found = self.list(Some(&keys)).await?;
        found.retain(|record| record.name == service);
        match self.slices(service) {
            Some((query, wanted)) if found.is_empty() => {
                let slices: List<EndpointSlice> = query.list(&self.client).await?;
                let slices = slices.items.unwrap_or_default();
                Ok(unique(
                    slices.iter().map(|slice| slices::record(service, slice, wanted)),
                ))
            }
            _ => Ok(found),
        }
    }

    async fn list(&self, keys: Option<&Keys>) -> Result<Vec<ServiceRecord>> {
        let pods: List<Pod> = self.pods(keys).list(&self.client).await?;
        let now = now();
        let pods = pods.items.unwrap_or_default();
        let told = pods.iter().filter_map(|pod| self.told(pod, keys)).flatten();
        let live: Vec<ServiceRecord> = told.flat_map(|told| told.live(now).collect::<Vec<_>>()).collect();
        Ok(unique(live))
    }

    /// What a pod tells, if it runs.
    pub(crate) fn told(&self, pod: &Pod, keys: Option<&Keys>) -> Option<Vec<Told>> {
        if !is_running(pod, self.ready_only) {
            return None;
        }
        let told = match keys {
            Some(keys) => vec![Told::of(&pod.metadata, keys)],
            None => Told::all(&pod.metadata),
        };
        Some(told)
    }

    /// The pods of one service, or of all. Only of those that may be not ready, their status has to be known.
    pub(crate) fn pods(&self, keys: Option<&Keys>) -> Query {
        let selector = keys.map_or_else(all_services, Keys::selector);
        Query {
            group: "api/v1",
            resource: "pods",
            selectors: format!("labelSelector={selector}&fieldSelector=status.phase=Running"),
            accept: match self.ready_only {
                true => (OBJECT, OBJECT),
                false => (METADATA_LIST, METADATA),
            },
            grant: "get, list, watch and patch on pods".into(),
        }
    }

    /// The slices of a Kubernetes service, if they are wanted and there can be one of the name.
    pub(crate) fn slices(&self, service: &str) -> Option<(Query, &EndpointSlices)> {
        let wanted = self
            .endpoint_slices
            .as_ref()
            .filter(|_| slices::is_name(service))?;
        let query = Query {
            group: "apis/discovery.k8s.io/v1",
            resource: "endpointslices",
            selectors: format!("labelSelector={}", slices::selector(service)),
            accept: (OBJECT, OBJECT),
            grant: "list and watch on endpointslices.discovery.k8s.io".into(),
        };
        Some((query, wanted))
    }
}

/// Without a status, only metadata were asked for, of running pods.
fn is_running(pod: &Pod, ready_only: bool) -> bool {
    if pod.metadata.deletion_timestamp.is_some() {
        return false;
    }
    let Some(status) = &pod.status else {
        return true;
    };
    let mut conditions = status.conditions.iter().flatten();
    let is_ready = conditions
        .find(|condition| condition.kind == "Ready")
        .is_none_or(|ready| ready.status == "True");
    status.phase == "Running" && (is_ready || !ready_only)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(json: &str) -> Pod {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn only_pods_that_run_and_are_not_being_taken_down_count() {
        let running = r#"{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"False"}]}}"#;
        assert!(is_running(&pod(running), false));
        assert!(!is_running(&pod(running), true));
        assert!(is_running(
            &pod(r#"{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}"#),
            true
        ));
        assert!(is_running(&pod(r#"{"status":{"phase":"Running"}}"#), true));
        for phase in ["Pending", "Succeeded", "Failed", "Unknown"] {
            assert!(!is_running(
                &pod(&format!(r#"{{"status":{{"phase":"{phase}"}}}}"#)),
                false
            ));
        }
        let going =
            r#"{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"},"status":{"phase":"Running"}}"#;
        assert!(!is_running(&pod(going), false));
        assert!(is_running(&pod(r#"{"metadata":{"name":"a"}}"#), true));
    }
}
