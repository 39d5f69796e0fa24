//! The registry itself.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use micro_consul_connection::{ConsulClient, Path, Role, is_askable, may_pass};
use micro_core::registry::{Node, RegisterOptions, Registry, ServiceRecord, Watcher, service_not_found};
use micro_core::{Error, ErrorKind, Result};

use crate::catalog::Catalog;
use crate::check::Check;
use crate::config::ConsulConfig;
use crate::error;
use crate::message::{Registration, Service};
use crate::record::{is_same, other_id, registration};
use crate::watch::{watch_all, watch_one};

/// How often to register where others take the check away at the same time.
const ATTEMPTS: usize = 8;

/// Go Micro's registry in Consul.
///
/// Clones share connections. It has no task of its own: a check is passed by registering again, and what is not
/// deregistered before the last clone is dropped becomes critical.
#[derive(Clone)]
pub struct ConsulRegistry(Arc<Shared>);

struct Shared {
    client: Arc<ConsulClient>,
    catalog: Catalog,
    tcp_check: Option<Duration>,
    connect: bool,
    /// The checks that were registered here: by agent and id.
    registered: Mutex<HashMap<(usize, String), Option<Check>>>,
}

impl ConsulRegistry {
    /// Connects, and makes sure that services may be looked up.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense, none of the agents answers, or Consul does not know the token.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time enabled.
    pub async fn connect(config: ConsulConfig) -> Result<Self> {
        config.check()?;
        let client = Arc::new(ConsulClient::new(&config.connection(), Role::Registry)?);
        let catalog = Catalog::new(client.clone(), config.connect);
        // Consul's servers are always there, and few.
        let path = Path::new("/v1/health/service/consul").query("stale", "");
        let asked = client.get(&client.in_datacenter(path)).await;
        asked.map_err(|error| {
            error.context(format_args!("cannot connect to consul ({})", client.addresses()))
        })?;
        Ok(Self(Arc::new(Shared {
            client,
            catalog,
            tcp_check: config.tcp_check,
            connect: config.connect,
            registered: Mutex::default(),
        })))
    }
}

impl fmt::Debug for ConsulRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ConsulRegistry")
            .field("agents", &self.0.client.addresses())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Registry for ConsulRegistry {
    fn name(&self) -> &str {
        "consul"
    }

    async fn register(&self, service: &ServiceRecord, options: RegisterOptions) -> Result<()> {
        for node in &service.nodes {
            let registered = self.0.register(service, node, options).await;
            registered.map_err(|error| {
                let (service, node) = (&service.name, &node.id);
                error.context(format_args!("cannot register service {service}, node {node}"))
            })?;
        }
        Ok(())
    }

    async fn deregister(&self, service: &ServiceRecord) -> Result<()> {
        for node in &service.nodes {
            let deregistered = self.0.deregister(&service.name, &node.id).await;
            deregistered.map_err(|error| {
                let (service, node) = (&service.name, &node.id);
                error.context(format_args!("cannot deregister service {service}, node {node}"))
            })?;
        }
        Ok(())
    }

    async fn get_service(&self, name: &str) -> Result<Vec<ServiceRecord>> {
        if !is_askable(name) {
            return Err(service_not_found(name));
        }
        let found = self.0.catalog.look_up(name).await;
        let found = found.map_err(|error| error.context(format_args!("cannot look up service {name}")))?;
        if found.is_empty() {
            return Err(service_not_found(name));
        }
        Ok(ServiceRecord::merge_versions(found))
    }

    async fn list_services(&self) -> Result<Vec<ServiceRecord>> {
        let listed = self.0.catalog.list().await;
        listed.map_err(|error| error.context("cannot list the services"))
    }

    async fn watch(&self, service: Option<&str>) -> Result<Watcher> {
        let catalog = self.0.catalog.clone();
        let (watch, what) = match service {
            Some(name) if !is_askable(name) => {
                return Err(error::refused(format_args!(
                    "no service can be called {name:?}, which is empty or has characters that cannot be printed"
                )));
            }
            Some(name) => (watch_one(catalog, name).await, format!("service {name}")),
            None => (watch_all(catalog).await, "all services".to_owned()),
        };
        watch.map_err(|error| error.context(format_args!("cannot watch {what}")))
    }
}

impl Shared {
    /// Passes the node's check, and registers the node if the agent does not have it just so. Where the agent fails, the
    /// next one is told, each at most once.
    async fn register(&self, service: &ServiceRecord, node: &Node, options: RegisterOptions) -> Result<()> {
        let check = match self.tcp_check {
            Some(interval) => Some(Check::tcp(&node.address, interval)),
            None => options.ttl.map(Check::ttl),
        };
        let mut wanted = registration(service, node, &node.id, check.clone(), self.connect)?;
        let agents = self.client.agents();
        let mut others = agents - 1;
        let mut may_move = |error: &Error| {
            let may = others > 0 && may_pass(error.kind());
            others = others.saturating_sub(1);
            may
        };
        for _ in 0..ATTEMPTS + agents {
            let place = self.find(&service.name, &node.id).await?;
            if wanted.id != place.id {
                wanted = registration(service, node, &place.id, check.clone(), self.connect)?;
            }
            let is_there = place.known.as_ref().is_some_and(|known| is_same(&wanted, known));
            let has_check = self.checks().get(&place.key()) == Some(&check);
            if !(is_there && has_check) {
                match self.put(place.agent, &wanted).await {
                    Err(error) if may_move(&error) => continue,
                    put => put?,
                }
            }
            if !check.as_ref().is_some_and(Check::is_passed) {
                return Ok(());
            }
            match self.pass(place.agent, &place.id).await {
                // Taken away since, or put by somebody without it.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.checks().remove(&place.key());
                }
                Err(error) if may_move(&error) => {}
                passed => return passed,
            }
        }
        Err(error::taken(
            "others take the check away again and again; does another node have the same id?",
        ))
    }

    /// Where a node is registered, or is to be. Ids are unique among all services of an agent, while those of nodes are
    /// so within a service; who finds its id taken by another service has a longer one.
    async fn find(&self, service: &str, node: &str) -> Result<Place> {
        let place = self.known(None, node).await?;
        let other = other_id(service, node);
        let has_other = self.checks().contains_key(&(place.agent, other.clone()));
        if place.is_free_for(service) && !has_other {
            return Ok(place);
        }
        let place = self.known(Some(place.agent), &other).await?;
        if place.is_free_for(service) {
            return Ok(place);
        }
        Err(error::taken(format!(
            "other services of the agent have the ids {node} and {other}; rename the node"
        )))
    }

    /// What an agent itself knows of an id.
    async fn known(&self, agent: Option<usize>, id: &str) -> Result<Place> {
        let path = Path::new("/v1/agent/service/").name(id);
        let (agent, known) = match self.client.get_from(agent, &path).await {
            Ok(answer) => (answer.agent, Some(answer.json(&self.client)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => (self.client.agent(agent), None),
            Err(error) => return Err(error),
        };
        let id = id.to_owned();
        Ok(Place { agent, id, known })
    }

    async fn put(&self, agent: usize, wanted: &Registration) -> Result<()> {
        let mut path = Path::new("/v1/agent/service/register");
        if wanted.check.is_none() {
            // Without it, a check of an earlier registration would stay and become critical.
            path = path.query("replace-existing-checks", "true");
        }
        let body = serde_json::to_vec(wanted)
            .map_err(|problem| error::refused("the record is no JSON").with_source(problem))?;
        self.client.put(Some(agent), &path, Bytes::from(body)).await?;
        self.checks()
            .insert((agent, wanted.id.clone()), wanted.check.clone());
        Ok(())
    }

    /// Says that a node is alive. The note stays empty, so that passing a passing check changes nothing.
    async fn pass(&self, agent: usize, id: &str) -> Result<()> {
        let path = Path::new("/v1/agent/check/pass/service:")
            .name(id)
            .query("note", "");
        self.client.put(Some(agent), &path, Bytes::new()).await?;
        Ok(())
    }

    /// Takes a node out of all agents that it was registered with, or else of the one that is used now.
    async fn deregister(&self, service: &str, node: &str) -> Result<()> {
        if !is_askable(service) || !is_askable(node) {
            return Ok(());
        }
        let ids = [node.to_owned(), other_id(service, node)];
        let mut agents: Vec<Option<usize>> = Vec::new();
        for (agent, id) in self.checks().keys() {
            if ids.contains(id) && !agents.contains(&Some(*agent)) {
                agents.push(Some(*agent));
            }
        }
        if agents.is_empty() {
            agents.push(None);
        }
        let (mut done, mut failed) = (0, None);
        for agent in agents {
            match self.deregister_at(agent, service, &ids).await {
                Ok(()) => done += 1,
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            // An agent that was left for another is away; what it had is critical.
            Some(error) if done > 0 => {
                tracing::debug!("node {node} of service {service} lapses where it was before: {error}");
                Ok(())
            }
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    async fn deregister_at(&self, mut agent: Option<usize>, service: &str, ids: &[String]) -> Result<()> {
        for id in ids {
            let place = self.known(agent, id).await?;
            agent = Some(place.agent);
            // That of another service stays.
            if place.known.as_ref().is_some_and(|known| known.service == service) {
                let path = Path::new("/v1/agent/service/deregister/").name(id);
                match self.client.put(agent, &path, Bytes::new()).await {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            if place.is_free_for(service) {
                self.checks().remove(&place.key());
            }
        }
        Ok(())
    }

    fn checks(&self) -> MutexGuard<'_, HashMap<(usize, String), Option<Check>>> {
        self.registered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An id at an agent, and what the agent has of it.
struct Place {
    agent: usize,
    id: String,
    known: Option<Service>,
}

impl Place {
    fn is_free_for(&self, service: &str) -> bool {
        self.known.as_ref().is_none_or(|known| known.service == service)
    }

    fn key(&self) -> (usize, String) {
        (self.agent, self.id.clone())
    }
}
