//! What the user chose, and the service or client that follows from it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use micro_core::client::{ClientBuilder, ClientOptions};
use micro_core::debug::{Diagnostics, DiagnosticsOptions, RecentLog};
use micro_core::registry::LateRegistry;
use micro_core::selector::Strategy;
use micro_core::service::{RegistrationOptions, ServiceOptions};
use micro_core::transport::http::{ClientCertificates, Identity, Tls};
use micro_core::{Broker, Client, ErrorKind, Registry, Result, Service, ServiceBuilder, Transport};

use super::duration::{parse_duration, parse_seconds};
use super::limits::Limits;
#[cfg(not(feature = "config"))]
use super::limits::LiveLimits;
use super::table::{GRPC, RPC};
use super::values::{Given, Values};
use crate::log::{self, LiveLevel};
use crate::plugins::{several, unknown, wrong};
use crate::{PluginArguments, Plugins};

#[cfg(feature = "config")]
use super::followed::Followed;

type Read<T> = std::result::Result<T, String>;

/// What the user chose, every choice made: nothing is connected yet. Change it as you like.
#[derive(Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Who the service is and how it lives.
    pub service: ServiceOptions,
    /// What the service takes on.
    pub limits: Limits,
    /// Time-outs and retries of the client.
    pub client: ClientOptions,
    /// How calls choose among nodes.
    pub strategy: Arc<dyn Strategy>,
    /// Where services find each other.
    pub registry: PluginChoice,
    /// How requests travel.
    pub transport: PluginChoice,
    /// How events travel.
    pub broker: PluginChoice,
    /// Certificates and keys.
    pub tls: TlsFiles,
    /// How many idle connections to keep to each node. `None`: the transport's default.
    pub pool_size: Option<usize>,
    /// How old a connection may become. `None`: the transport's default.
    pub pool_ttl: Option<Duration>,
    /// How long connecting to a node may take. `None`: the transport's default.
    pub dial_timeout: Option<Duration>,
    /// What to log: a level, or directives such as `info,micro_core=debug`.
    pub log_level: String,
    /// The last lines that were logged, which services of these settings answer `Debug.Log` from. Filled by
    /// [`start_log`](Self::start_log); see [`micro::log`](crate::log) for programs that log in their own way.
    pub recent_log: RecentLog,
    /// What was accepted but has no effect, and what to do about it. Logged when a service or client is made.
    pub warnings: Vec<String>,
    pub(super) values: Values,
    pub(super) plugins: Plugins,
    live_level: LiveLevel,
    #[cfg(feature = "config")]
    pub(super) followed: Followed,
}

/// A plugin by its name, and where its server is. Several registries have their names separated by commas, and these
/// before their addresses: `etcd=127.0.0.1:2379`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PluginChoice {
    /// The name in the table of [`Plugins`].
    pub name: String,
    /// Empty: the plugin's default.
    pub addresses: Vec<String>,
}

/// Files with certificates and keys, as PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate that this side shows.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The authorities whose servers are believed.
    pub authorities: Option<PathBuf>,
    /// The authorities of which callers must have a certificate.
    pub client_authorities: Option<PathBuf>,
    /// The name that servers must prove.
    pub server_name: Option<String>,
}

impl Settings {
    pub(super) fn read(given: &Given, values: Values) -> Read<Self> {
        let arguments = &given.arguments;
        let plugins = arguments.plugins.clone();
        let mut warnings = Vec::new();
        let registry = registry(&values, &plugins)?;
        let transport = choice(&values, "transport", plugins.transports())?;
        let transport = spoken(&values, &plugins).unwrap_or(transport);
        for role in ["server", "client"] {
            let name = values.get(role);
            if let Some(name) = name.filter(|name| !RPC.contains(name) && *name != transport.name) {
                let ignored =
                    format!("{name} is ignored: there is only rpc, and protocols are chosen by --transport");
                warnings.push(values.about(role, &ignored));
            }
        }
        #[cfg(not(feature = "config"))]
        if values
            .environment
            .get("MICRO_CONFIG")
            .is_some_and(|named| !named.is_empty())
        {
            warnings.push(
                "the variable MICRO_CONFIG is ignored: this program is built without the feature \"config\" of the crate \
                 `micro`"
                    .to_owned(),
            );
        }
        let broker = choice(&values, "broker", plugins.brokers())?;
        let limits = Limits::read(&values)?;
        warnings.extend(limits.warning(&values));
        let log_level = values.get("log_level").unwrap_or("info").to_owned();
        log::check(&log_level).map_err(|problem| values.about("log_level", &problem))?;
        Ok(Self {
            service: service(&arguments.name, &values)?,
            limits,
            client: client(&values)?,
            strategy: strategy(&values, &plugins)?,
            registry,
            transport,
            broker,
            tls: tls(&values)?,
            pool_size: values.number("client_pool_size")?.filter(|size| *size > 0),
            pool_ttl: values.read_as("client_pool_ttl", parse_duration)?,
            dial_timeout: values.read_as("client_dial_timeout", parse_duration)?,
            log_level,
            recent_log: RecentLog::new(),
            warnings,
            values,
            plugins,
            live_level: given.live_level.clone(),
            #[cfg(feature = "config")]
            followed: Followed::default(),
        })
    }

    /// The value of an argument by its name, such as one of the program's own. Of several, the last.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name)
    }

    /// The values of a list, or of the rest of the words.
    pub fn values(&self, name: &str) -> &[String] {
        self.values.list(name)
    }

    /// Whether a switch is on.
    ///
    /// # Errors
    ///
    /// When its value is neither true nor false.
    pub fn is_on(&self, name: &str) -> Result<bool> {
        self.values.is_on(name).map_err(wrong)
    }

    /// Logs to standard error from now on, as `log_level` says, unless the process logs already. Does nothing without
    /// the feature `log`.
    pub fn start_log(&self) {
        log::start(&self.log_level, &self.recent_log, &self.live_level);
    }

    /// Connects to the registry that was chosen; several are one then, as [`Plugins::connect_registry`] says.
    ///
    /// # Errors
    ///
    /// When that fails; the message names the registry.
    pub async fn connect_registry(&self) -> Result<Arc<dyn Registry>> {
        let arguments = self.plugin_arguments(&self.registry);
        self.plugins
            .connect_registry(&self.registry.name, arguments)
            .await
    }

    /// The same, but that a service which starts without its registry is not held up by one that is away.
    async fn connect_registry_perhaps_later(&self) -> Result<Arc<dyn Registry>> {
        if !self.service.registration.start_without_registry {
            return self.connect_registry().await;
        }
        let settings = self.clone();
        let late = LateRegistry::new(&self.registry.name, move || {
            let settings = settings.clone();
            async move { settings.connect_registry().await }
        });
        match late.connect().await {
            Ok(registry) => Ok(registry.clone()),
            Err(failed) if matches!(failed.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) => {
                tracing::warn!(service = %self.service.name, error = %failed, "starting without the registry");
                Ok(Arc::new(late))
            }
            Err(failed) => Err(failed),
        }
    }

    /// Makes the transport that was chosen.
    ///
    /// # Errors
    ///
    /// When that fails or a file of the TLS flags cannot be read; the message names the transport or the file.
    pub async fn connect_transport(&self) -> Result<Arc<dyn Transport>> {
        self.connect_transport_with(None).await
    }

    async fn connect_transport_with(&self, diagnostics: Option<Diagnostics>) -> Result<Arc<dyn Transport>> {
        let health = diagnostics.iter().map(Diagnostics::route);
        let arguments = PluginArguments {
            routes: health.map(|route| ("/health".to_owned(), route)).collect(),
            diagnostics,
            tls: self.tls.read()?,
            pool_size: self.pool_size,
            pool_ttl: self.pool_ttl,
            dial_timeout: self.dial_timeout,
            ..self.plugin_arguments(&self.transport)
        };
        self.plugins
            .connect_transport(&self.transport.name, arguments)
            .await
    }

    /// Connects to the broker that was chosen, whose subscribers, where they are found there, are in this registry.
    ///
    /// # Errors
    ///
    /// When that fails or a file of the TLS flags cannot be read; the message names the broker or the file.
    pub async fn connect_broker(&self, registry: Arc<dyn Registry>) -> Result<Arc<dyn Broker>> {
        let arguments = PluginArguments {
            registry: Some(registry),
            tls: self.tls.read()?,
            ..self.plugin_arguments(&self.broker)
        };
        self.plugins.connect_broker(&self.broker.name, arguments).await
    }

    /// A service as the user wants it: connected, for endpoints to be added.
    ///
    /// Where it [starts without its registry](RegistrationOptions::start_without_registry) and that is away now, it is
    /// connected to by the first request that meets it.
    ///
    /// # Errors
    ///
    /// When a plugin cannot be connected; the message names it.
    pub async fn service(&self) -> Result<ServiceBuilder> {
        self.warn();
        // The transport first: its mistakes are found without a network.
        let diagnostics = Diagnostics::new(DiagnosticsOptions {
            log: self.recent_log.clone(),
            ..DiagnosticsOptions::default()
        });
        let transport = self.connect_transport_with(Some(diagnostics.clone())).await?;
        let registry = self.connect_registry_perhaps_later().await?;
        let broker = self.connect_broker(registry.clone()).await?;
        let mut builder = Service::builder(&self.service.name)
            .diagnostics(diagnostics)
            .transport(transport)
            .registry(registry)
            .broker(broker)
            .strategy(self.strategy.clone())
            .client_options(self.client);
        *builder.options_mut() = self.service.clone();
        #[cfg(feature = "config")]
        let builder = self.follow().into_service(builder);
        #[cfg(not(feature = "config"))]
        let builder = LiveLimits::of(self.limits).wrap(builder, false);
        Ok(builder)
    }

    /// A client as the user wants it, without a service.
    ///
    /// # Errors
    ///
    /// When a plugin cannot be connected; the message names it.
    pub async fn client(&self) -> Result<ClientBuilder> {
        self.warn();
        let transport = self.connect_transport().await?;
        let registry = self.connect_registry().await?;
        let broker = self.connect_broker(registry.clone()).await?;
        let builder = Client::builder(registry, transport)
            .broker(broker)
            .strategy(self.strategy.clone())
            .options(self.client);
        #[cfg(feature = "config")]
        let builder = self.follow().into_client(builder);
        Ok(builder)
    }

    fn warn(&self) {
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
    }

    fn plugin_arguments(&self, choice: &PluginChoice) -> PluginArguments {
        PluginArguments {
            addresses: choice.addresses.clone(),
            environment: self.values.environment.clone(),
            ..PluginArguments::default()
        }
    }
}

impl std::fmt::Debug for Settings {
    // Without the values, which hold the environment, and that holds secrets.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("service", &self.service)
            .field("limits", &self.limits)
            .field("client", &self.client)
            .field("strategy", &self.strategy.name())
            .field("registry", &self.registry)
            .field("transport", &self.transport)
            .field("broker", &self.broker)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl TlsFiles {
    /// Reads the files; `None` when there are none to read.
    ///
    /// # Errors
    ///
    /// When a file cannot be read; the message says which and why.
    pub fn read(&self) -> Result<Option<Tls>> {
        let pem = |flag: &str, path: &Option<PathBuf>| {
            let read = path.as_ref().map(|path| {
                std::fs::read(path).map_err(|problem| {
                    wrong(format!(
                        "--{flag}: cannot read the file {}: {problem}",
                        path.display()
                    ))
                    .with_source(problem)
                })
            });
            read.transpose()
        };
        if *self == Self::default() {
            return Ok(None);
        }
        let identity = pem("tls_cert", &self.certificate)?.zip(pem("tls_key", &self.key)?);
        let client_certificates = match pem("tls_client_ca", &self.client_authorities)? {
            Some(authorities) => ClientCertificates::Required(authorities),
            None => ClientCertificates::None,
        };
        Ok(Some(Tls {
            identity: identity.map(|(certificates, key)| Identity { certificates, key }),
            authorities: pem("tls_ca", &self.authorities)?.unwrap_or_default(),
            client_certificates,
            server_name: self.server_name.clone(),
            accept_any_server: false,
        }))
    }
}

fn registry(values: &Values, plugins: &Plugins) -> Read<PluginChoice> {
    let names = plugins.registry_names(values.get("registry").unwrap_or_default());
    let names = names.map_err(|problem| values.about("registry", &problem))?;
    let addresses = values.list("registry_address").to_vec();
    several::addresses(&names, &addresses).map_err(|problem| values.about("registry_address", &problem))?;
    Ok(PluginChoice {
        name: names.join(","),
        addresses,
    })
}

fn choice<'a>(values: &Values, kind: &str, known: impl Iterator<Item = &'a str>) -> Read<PluginChoice> {
    let known: Vec<_> = known.collect();
    let name = values.get(kind).unwrap_or_default();
    if !known.contains(&name) {
        return Err(values.about(kind, &unknown(kind, name, known.into_iter())));
    }
    Ok(PluginChoice {
        name: name.to_owned(),
        addresses: values.list(&format!("{kind}_address")).to_vec(),
    })
}

/// Go Micro chooses gRPC by the names of client and server; here it is a transport. Where one of them says it and no
/// transport is named, that one is meant.
fn spoken(values: &Values, plugins: &Plugins) -> Option<PluginChoice> {
    let is_named = ["server", "client"]
        .iter()
        .any(|role| values.get(role) == Some(GRPC));
    let is_linked = plugins.transports().any(|name| name == GRPC);
    (is_named && is_linked && !values.is_given("transport")).then(|| PluginChoice {
        name: GRPC.to_owned(),
        addresses: Vec::new(),
    })
}

fn strategy(values: &Values, plugins: &Plugins) -> Read<Arc<dyn Strategy>> {
    let name = values.get("selector").unwrap_or_default();
    let found = plugins.strategy_named(name);
    found.ok_or_else(|| values.about("selector", &unknown("selector", name, plugins.strategies())))
}

fn service(name: &str, values: &Values) -> Read<ServiceOptions> {
    let mut options = ServiceOptions::new(values.get("server_name").unwrap_or(name));
    let text = |name: &str| values.get(name).map(str::to_owned);
    options.version = text("server_version").unwrap_or(options.version);
    options.id = text("server_id").unwrap_or(options.id);
    options.address = text("server_address").unwrap_or(options.address);
    options.advertise = text("server_advertise");
    options.metadata = metadata(values)?;
    options.notice = values
        .read_as("server_notice", parse_duration)?
        .unwrap_or(options.notice);
    options.grace = values
        .read_as("server_grace", parse_duration)?
        .unwrap_or(options.grace);
    options.registration = registration(values)?;
    Ok(options)
}

/// A key that is given again replaces the earlier one.
fn metadata(values: &Values) -> Read<Vec<(String, String)>> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut places = HashMap::new();
    for text in values.list("server_metadata") {
        let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
        let Some((key, value)) = pair else {
            return Err(values.about(
                "server_metadata",
                &format!("{text:?} is no pair; write key=value"),
            ));
        };
        let place = *places.entry(key).or_insert(pairs.len());
        if place == pairs.len() {
            pairs.push((key.to_owned(), String::new()));
        }
        value.clone_into(&mut pairs[place].1);
    }
    Ok(pairs)
}

fn registration(values: &Values) -> Read<RegistrationOptions> {
    let defaults = RegistrationOptions::default();
    let ttl = values
        .read_as("register_ttl", parse_seconds)?
        .unwrap_or(defaults.ttl);
    let mut interval = values
        .read_as("register_interval", parse_seconds)?
        .unwrap_or(defaults.interval);
    if !values.is_given("register_interval") {
        interval = interval.min(ttl / 2);
    } else if interval >= ttl {
        let problem = format!(
            "{interval:?} is not shorter than the time to live, {ttl:?}: the record would come and go"
        );
        return Err(values.about("register_interval", &problem));
    }
    Ok(RegistrationOptions {
        ttl,
        interval,
        start_without_registry: values.is_on("start_without_registry")?,
    })
}

fn client(values: &Values) -> Read<ClientOptions> {
    let mut options = ClientOptions::default();
    if let Some(timeout) = values.read_as("client_request_timeout", parse_duration)? {
        options.request_timeout = timeout;
    }
    if let Some(retries) = values.number("client_retries")? {
        options.retry.retries = retries;
    }
    Ok(options)
}

fn tls(values: &Values) -> Read<TlsFiles> {
    let path = |name: &str| values.get(name).map(PathBuf::from);
    let files = TlsFiles {
        certificate: path("tls_cert"),
        key: path("tls_key"),
        authorities: path("tls_ca"),
        client_authorities: path("tls_client_ca"),
        server_name: values.get("tls_server_name").map(str::to_owned),
    };
    let needs = |name: &str, other: &str| Err(values.about(name, &format!("needs --{other} as well")));
    match files {
        TlsFiles {
            certificate: Some(_),
            key: None,
            ..
        } => needs("tls_cert", "tls_key"),
        TlsFiles {
            certificate: None,
            key: Some(_),
            ..
        } => needs("tls_key", "tls_cert"),
        TlsFiles {
            certificate: None,
            client_authorities: Some(_),
            ..
        } => needs("tls_client_ca", "tls_cert"),
        TlsFiles {
            authorities: None,
            server_name: Some(_),
            ..
        } => needs("tls_server_name", "tls_ca"),
        files => Ok(files),
    }
}
