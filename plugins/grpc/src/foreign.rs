//! Services of others: where the packages of their `.proto` files are to be called.

mod attempts;
mod health;
mod nodes;
mod renamed;
mod target;
mod watching;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use micro_core::client::ClientBuilder;
use micro_core::registry::{RegisterOptions, Registry, ServiceRecord, Watcher};
use micro_core::{Client, Error, Result, Transport};
use tokio::sync::watch;

use self::attempts::LookAgain;
use self::health::Healthy;
use self::nodes::Nodes;
use self::renamed::Renamed;
use self::target::{Resolve, System, Target};
use self::watching::Watching;

/// What errors of this registry are known by.
const FOREIGN: &str = "go.micro.registry";

/// How often names are looked up again, unless somebody says it.
const REFRESH: Duration = Duration::from_secs(30);
/// What is said too small is no smaller than this, and so far apart are the look-ups that failing calls cause.
const SHORTEST: Duration = Duration::from_secs(1);

/// gRPC services that are none of Micro's, each known by the package of its `.proto` file, which is a part of the path of
/// its calls: `helloworld.Greeter/SayHello` is the endpoint `Greeter.SayHello` of `helloworld`.
///
/// It is a registry that only reads, and makes [clients](Self::client) of itself. Clones share what they know of failing
/// calls.
///
/// ```
/// use std::sync::Arc;
/// use micro_grpc::{ForeignServices, GrpcConfig, GrpcTransport};
///
/// # fn main() -> micro_core::Result<()> {
/// let services = ForeignServices::new()
///     .at("helloworld", ["dns:greeter.example:50051"])?
///     .at("routeguide", ["127.0.0.1:10000", "127.0.0.1:10001"])?;
/// let client = services.client(Arc::new(GrpcTransport::new(GrpcConfig::default())?)).build();
/// // With generated code: GreeterClient::new("helloworld", &client).say_hello(…).await
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ForeignServices {
    packages: Arc<BTreeMap<String, Arc<Package>>>,
    refresh: Duration,
    /// For packages whose nodes are asked for their health: about which service.
    health: Arc<BTreeMap<String, String>>,
    resolve: Arc<dyn Resolve>,
}

/// Where the services of a package are.
struct Package {
    place: Place,
    /// Told whenever a call could not reach a node.
    unreached: watch::Sender<()>,
}

enum Place {
    Targets(Arc<[Target]>),
    Registry(Renamed),
}

impl ForeignServices {
    /// None yet.
    pub fn new() -> Self {
        Self {
            packages: Arc::default(),
            refresh: REFRESH,
            health: Arc::default(),
            resolve: Arc::new(System),
        }
    }

    /// The services of a package are at these targets, all of which are called in turn, as the strategy says. A package
    /// without a name is the empty text. What was said of the package before counts no more.
    ///
    /// A target is an address, `127.0.0.1:50051` or `[::1]:50051`, or the name of a host and a port:
    /// `dns:greeter.example:50051`, `dns:///greeter.example:50051` or without `dns:`. Each address of the host counts
    /// as a node; IPv6 addresses count where there are no others. The host's name is looked up by the system, when a
    /// call needs it, then every [`refresh_interval`](Self::refresh_interval) and when a node could not be reached.
    /// It is what the node is called by (`:authority`), and what it must prove where calls are encrypted and
    /// [`Tls::server_name`](micro_core::transport::http::Tls::server_name) says nothing else.
    ///
    /// # Errors
    ///
    /// When there is no target, or one is malformed.
    pub fn at<T: AsRef<str>>(
        self,
        package: impl Into<String>,
        targets: impl IntoIterator<Item = T>,
    ) -> Result<Self> {
        let package = package.into();
        let targets = targets.into_iter().map(|target| Target::parse(target.as_ref()));
        let targets: Arc<[Target]> = targets
            .collect::<Result<_>>()
            .map_err(|error| error.context(format_args!("package {package:?}")))?;
        if targets.is_empty() {
            return Err(Error::bad_request(
                FOREIGN,
                format!("package {package:?} has no target; say where it is, as host:port"),
            ));
        }
        Ok(self.with(package, Place::Targets(targets)))
    }

    /// The services of a package are where a registry has `name`, registered there by whomsoever. What its records
    /// state as `protocol` and `transport` does not count: all nodes are called over this client's transport.
    #[must_use]
    pub fn registered(
        self,
        package: impl Into<String>,
        registry: Arc<dyn Registry>,
        name: impl Into<String>,
    ) -> Self {
        let package = package.into();
        let renamed = Renamed::new(registry, name.into(), package.clone());
        self.with(package, Place::Registry(renamed))
    }

    /// How often the names of hosts are looked up while they are called. Default: 30 s; less than 1 s counts as 1 s.
    /// A node that cannot be reached has its name looked up at once, but not twice in a second.
    #[must_use]
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.refresh = interval.max(SHORTEST);
        self
    }

    /// Has [clients](Self::client) ask each node of a package for the health of a service, such as
    /// `helloworld.Greeter`, or of all of it with the empty text: by `grpc.health.v1.Health/Watch`, over a connection
    /// of its own that lasts. A node that says anything but `SERVING` is not called, unless no node serves. One that
    /// knows nothing of health, or does not answer, is called as if it had not been asked. Default: nobody is asked.
    #[must_use]
    pub fn health(mut self, package: impl Into<String>, service: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.health).insert(package.into(), service.into());
        self
    }

    fn with(mut self, package: String, place: Place) -> Self {
        let unreached = watch::Sender::new(());
        Arc::make_mut(&mut self.packages).insert(package, Arc::new(Package { place, unreached }));
        self
    }

    /// A client that calls these services, and no others, over a transport. Generated clients take the package in
    /// place of the name of a service.
    pub fn client(&self, transport: Arc<dyn Transport>) -> ClientBuilder {
        let registry: Arc<dyn Registry> = match self.health.is_empty() {
            true => Arc::new(self.clone()),
            false => Arc::new(Healthy::new(self.clone(), transport.clone())),
        };
        Client::builder(registry, transport).wrap_attempt(LookAgain(self.clone()))
    }

    /// A call could not reach a node of this package.
    fn note_unreached(&self, package: &str) {
        if let Some(package) = self.packages.get(package) {
            package.unreached.send_replace(());
        }
    }

    fn package(&self, name: &str) -> Result<&Arc<Package>> {
        self.packages.get(name).ok_or_else(|| {
            let known: Vec<_> = self.packages.keys().map(String::as_str).collect();
            Error::not_found(
                FOREIGN,
                format!(
                    "package {name:?} is not known; known are {known:?}. Say where it is with ForeignServices::at"
                ),
            )
        })
    }

    fn nodes(&self, targets: &Arc<[Target]>) -> Nodes {
        Nodes::new(targets.clone(), self.resolve.clone())
    }

    fn read_only(what: &str, name: &str) -> Error {
        Error::method_not_allowed(
            FOREIGN,
            format!(
                "service {name}: cannot {what}: foreign services are only called; see Registry::takes_registrations"
            ),
        )
    }
}

impl Default for ForeignServices {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ForeignServices {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self.packages.iter().map(|(name, package)| (name, &package.place));
        formatter.debug_map().entries(places).finish()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Targets(targets) => formatter.debug_list().entries(targets.iter()).finish(),
            Self::Registry(renamed) => renamed.fmt(formatter),
        }
    }
}

#[async_trait]
impl Registry for ForeignServices {
    fn name(&self) -> &str {
        "foreign"
    }

    /// Never: it only reads.
    fn takes_registrations(&self) -> bool {
        false
    }

    async fn register(&self, service: &ServiceRecord, _: RegisterOptions) -> Result<()> {
        Err(Self::read_only("register", &service.name))
    }

    async fn deregister(&self, service: &ServiceRecord) -> Result<()> {
        Err(Self::read_only("deregister", &service.name))
    }

    async fn get_service(&self, name: &str) -> Result<Vec<ServiceRecord>> {
        match &self.package(name)?.place {
            Place::Targets(targets) => Ok(vec![self.nodes(targets).record(name).await?]),
            Place::Registry(renamed) => renamed.get().await,
        }
    }

    /// The packages that were said, without their nodes.
    async fn list_services(&self) -> Result<Vec<ServiceRecord>> {
        let names = self.packages.keys();
        Ok(names
            .map(|name| ServiceRecord::new(name, nodes::VERSION))
            .collect())
    }

    async fn watch(&self, service: Option<&str>) -> Result<Watcher> {
        let name = service.ok_or_else(|| {
            Error::method_not_allowed(
                FOREIGN,
                "foreign services are watched one by one, by their packages",
            )
        })?;
        let package = self.package(name)?;
        match &package.place {
            Place::Registry(renamed) => renamed.watch().await,
            Place::Targets(targets) => {
                let unreached = package.unreached.subscribe();
                let watching = Watching::new(name, self.nodes(targets), self.refresh, unreached);
                Watcher::follow(format!("the watch of package {name:?}"), watching).await
            }
        }
    }
}

#[cfg(test)]
mod tests;
