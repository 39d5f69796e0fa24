//! The table of plugins: which names a program knows, and how to make what they stand for.

mod builtin;
pub(crate) mod several;
#[cfg(feature = "config")]
pub(crate) mod sources;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use micro_core::debug::Diagnostics;
use micro_core::registry::{LateRegistry, MultiRegistry};
use micro_core::selector::Strategy;
use micro_core::transport::http::{Route, Tls};
use micro_core::{Broker, Error, Registry, Result, Transport};

#[cfg(feature = "config")]
pub use self::sources::SourceArguments;

#[cfg(feature = "config")]
type MakingSource = Pin<Box<dyn Future<Output = micro_config::Result<Box<dyn micro_config::Source>>> + Send>>;
#[cfg(feature = "config")]
type SourceFactory = Arc<dyn Fn(SourceArguments) -> MakingSource + Send + Sync>;
type Making<T> = Pin<Box<dyn Future<Output = Result<Arc<T>>> + Send>>;
type Factory<T> = Arc<dyn Fn(PluginArguments) -> Making<T> + Send + Sync>;

/// Which plugins a program knows by name, and how to make them. Clones share what they make in memory.
///
/// ```
/// use std::sync::Arc;
/// use micro::Plugins;
/// use micro::registry::MemoryRegistry;
///
/// let plugins = Plugins::builtin().registry("mine", |arguments| async move {
///     println!("connecting to {:?}", arguments.addresses);
///     Ok(Arc::new(MemoryRegistry::new()) as _)
/// });
/// assert!(plugins.registries().any(|name| name == "mine"));
/// ```
#[derive(Clone, Default)]
pub struct Plugins {
    registries: BTreeMap<String, Factory<dyn Registry>>,
    transports: BTreeMap<String, Factory<dyn Transport>>,
    brokers: BTreeMap<String, Factory<dyn Broker>>,
    strategies: BTreeMap<String, Arc<dyn Strategy>>,
    profiles: BTreeMap<String, Vec<(String, String)>>,
    #[cfg(feature = "config")]
    sources: BTreeMap<String, SourceFactory>,
}

/// What a plugin is made from: its share of the flags and variables.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct PluginArguments {
    /// The values of `--registry_address`, `--transport_address` or `--broker_address`. Empty: the plugin's default.
    pub addresses: Vec<String>,
    /// The registry that was connected to before; only brokers get it.
    pub registry: Option<Arc<dyn Registry>>,
    /// The certificates and keys of the TLS flags; transports and brokers get them. `None`: no encryption was asked
    /// for.
    pub tls: Option<Tls>,
    /// How many idle connections to keep to each node. `None`: the plugin's default.
    pub pool_size: Option<usize>,
    /// How old a connection may become. `None`: the plugin's default.
    pub pool_ttl: Option<Duration>,
    /// How long connecting to a node may take. `None`: the plugin's default.
    pub dial_timeout: Option<Duration>,
    /// What a transport that speaks plain HTTP is to serve beside calls, such as `/health`: path prefixes, and what
    /// answers them. Others leave it.
    pub routes: Vec<(String, Arc<dyn Route>)>,
    /// What the service that is made tells about itself; transports that answer questions about it get it. `None`: no
    /// service is made.
    pub diagnostics: Option<Diagnostics>,
    pub(crate) environment: Arc<HashMap<String, String>>,
}

impl PluginArguments {
    /// A variable of the environment, such as `ETCD_USERNAME`, for what no flag says. Empty ones count as unset.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for PluginArguments {
    // The environment is left out: it holds secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PluginArguments")
            .field("addresses", &self.addresses)
            .field("tls", &self.tls)
            .field("pool_size", &self.pool_size)
            .field("pool_ttl", &self.pool_ttl)
            .field("dial_timeout", &self.dial_timeout)
            .finish_non_exhaustive()
    }
}

impl Plugins {
    /// A table without any plugin.
    pub fn none() -> Self {
        Self::default()
    }

    /// The plugins that this crate's features link, and those of the core.
    ///
    /// The memory registry, transport and broker of a table are always the same ones, so that services which are made from
    /// one table, or its clones, find each other.
    pub fn builtin() -> Self {
        builtin::plugins()
    }

    /// Knows one more registry, or another one by a name that is known.
    #[must_use]
    pub fn registry<F, Fut>(mut self, name: impl Into<String>, factory: F) -> Self
    where
        F: Fn(PluginArguments) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Arc<dyn Registry>>> + Send + 'static,
    {
        let factory: Factory<dyn Registry> = Arc::new(move |arguments| Box::pin(factory(arguments)));
        self.registries.insert(name.into(), factory);
        self
    }

    /// Knows one more transport, or another one by a name that is known.
    #[must_use]
    pub fn transport<F, Fut>(mut self, name: impl Into<String>, factory: F) -> Self
    where
        F: Fn(PluginArguments) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Arc<dyn Transport>>> + Send + 'static,
    {
        let factory: Factory<dyn Transport> = Arc::new(move |arguments| Box::pin(factory(arguments)));
        self.transports.insert(name.into(), factory);
        self
    }

    /// Knows one more broker, or another one by a name that is known.
    #[must_use]
    pub fn broker<F, Fut>(mut self, name: impl Into<String>, factory: F) -> Self
    where
        F: Fn(PluginArguments) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Arc<dyn Broker>>> + Send + 'static,
    {
        let factory: Factory<dyn Broker> = Arc::new(move |arguments| Box::pin(factory(arguments)));
        self.brokers.insert(name.into(), factory);
        self
    }

    /// Knows one more way to choose among nodes, by the strategy's own name.
    #[must_use]
    pub fn strategy(mut self, strategy: Arc<dyn Strategy>) -> Self {
        self.strategies.insert(strategy.name().to_owned(), strategy);
        self
    }

    /// Knows one more profile: values of flags, which count where neither flag nor variable says otherwise.
    #[must_use]
    pub fn profile(mut self, name: impl Into<String>, values: &[(&str, &str)]) -> Self {
        let values = values
            .iter()
            .map(|(flag, value)| ((*flag).to_owned(), (*value).to_owned()));
        self.profiles.insert(name.into(), values.collect());
        self
    }

    /// Knows one more kind of source of configuration, or another one by a name that is known: with `vault`,
    /// `--config=vault:secret/shop` is made by it. Names are of letters, digits and dashes.
    #[cfg(feature = "config")]
    #[must_use]
    pub fn source<F, Fut>(mut self, kind: impl Into<String>, factory: F) -> Self
    where
        F: Fn(SourceArguments) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = micro_config::Result<Box<dyn micro_config::Source>>> + Send + 'static,
    {
        let factory: SourceFactory = Arc::new(move |arguments| Box::pin(factory(arguments)));
        self.sources.insert(kind.into(), factory);
        self
    }

    /// The kinds of sources of configuration, sorted.
    #[cfg(feature = "config")]
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(String::as_str)
    }

    /// The names of the registries, sorted.
    pub fn registries(&self) -> impl Iterator<Item = &str> {
        self.registries.keys().map(String::as_str)
    }

    /// The names of the transports, sorted.
    pub fn transports(&self) -> impl Iterator<Item = &str> {
        self.transports.keys().map(String::as_str)
    }

    /// The names of the brokers, sorted.
    pub fn brokers(&self) -> impl Iterator<Item = &str> {
        self.brokers.keys().map(String::as_str)
    }

    /// The names of the strategies, sorted.
    pub fn strategies(&self) -> impl Iterator<Item = &str> {
        self.strategies.keys().map(String::as_str)
    }

    /// The names of the profiles, sorted.
    pub fn profiles(&self) -> impl Iterator<Item = &str> {
        self.profiles.keys().map(String::as_str)
    }

    /// Forgets other registries than these.
    #[cfg(test)]
    pub(crate) fn keep_registries(&mut self, names: &[&str]) {
        self.registries.retain(|name, _| names.contains(&name.as_str()));
    }

    /// Forgets other kinds of sources than these.
    #[cfg(all(test, feature = "config"))]
    pub(crate) fn keep_sources(&mut self, kinds: &[&str]) {
        self.sources.retain(|kind, _| kinds.contains(&kind.as_str()));
    }

    /// Forgets other transports than these.
    #[cfg(test)]
    pub(crate) fn keep_transports(&mut self, names: &[&str]) {
        self.transports.retain(|name, _| names.contains(&name.as_str()));
    }

    /// Forgets other brokers than these.
    #[cfg(test)]
    pub(crate) fn keep_brokers(&mut self, names: &[&str]) {
        self.brokers.retain(|name, _| names.contains(&name.as_str()));
    }

    /// Forgets other profiles than these.
    #[cfg(test)]
    pub(crate) fn keep_profiles(&mut self, names: &[&str]) {
        self.profiles.retain(|name, _| names.contains(&name.as_str()));
    }

    /// Connects to a registry; or, where the name is several names separated by commas, to all of these as one, a
    /// [`MultiRegistry`] in their order.
    ///
    /// Of several registries each gets its own addresses, which are written `etcd=127.0.0.1:2379`. One that is away is
    /// connected to later, as long as another one is there.
    ///
    /// # Errors
    ///
    /// When a name is unknown (the message lists those that are known), an address does not say whose it is, or the
    /// registry cannot be connected to; of several, none, or one for a reason that waiting does not mend.
    pub async fn connect_registry(
        &self,
        name: &str,
        mut arguments: PluginArguments,
    ) -> Result<Arc<dyn Registry>> {
        let names = self.registry_names(name).map_err(wrong)?;
        let mut addresses = several::addresses(&names, &arguments.addresses)
            .map_err(|problem| wrong(format!("--registry_address: {problem}")))?;
        if let [name] = *names {
            let factory = self.registry_factory(name)?;
            arguments.addresses = addresses.remove(0);
            let connected = factory(arguments).await;
            return connected
                .map_err(|error| error.context(format_args!("cannot connect to the registry {name}")));
        }
        let mut registries = Vec::new();
        for (name, addresses) in names.into_iter().zip(addresses) {
            let factory = self.registry_factory(name)?.clone();
            let arguments = PluginArguments {
                addresses,
                ..arguments.clone()
            };
            registries.push(LateRegistry::new(name, move || factory(arguments.clone())));
        }
        Ok(Arc::new(MultiRegistry::connect(registries).await?))
    }

    /// The names of registries in a value of `--registry`: at least one, all of them known.
    pub(crate) fn registry_names<'a>(&self, text: &'a str) -> std::result::Result<Vec<&'a str>, String> {
        if self.registries.contains_key(text) {
            return Ok(vec![text]);
        }
        let names = several::names(text)?;
        let is_unknown = |name: &&&str| !self.registries.contains_key(**name);
        match names.iter().find(is_unknown) {
            Some(name) => Err(unknown("registry", name, self.registries())),
            None if names.is_empty() => Err(unknown("registry", text, self.registries())),
            None => Ok(names),
        }
    }

    fn registry_factory(&self, name: &str) -> Result<&Factory<dyn Registry>> {
        let factory = self.registries.get(name);
        factory.ok_or_else(|| wrong(unknown("registry", name, self.registries())))
    }

    /// Makes a transport.
    ///
    /// # Errors
    ///
    /// When the name is unknown (the message lists those that are known), or the transport cannot be made.
    pub async fn connect_transport(
        &self,
        name: &str,
        arguments: PluginArguments,
    ) -> Result<Arc<dyn Transport>> {
        let Some(factory) = self.transports.get(name) else {
            return Err(wrong(unknown("transport", name, self.transports())));
        };
        let made = factory(arguments).await;
        made.map_err(|error| error.context(format_args!("cannot set up the transport {name}")))
    }

    /// Connects to a broker.
    ///
    /// # Errors
    ///
    /// When the name is unknown (the message lists those that are known), or the broker cannot be connected to.
    pub async fn connect_broker(&self, name: &str, arguments: PluginArguments) -> Result<Arc<dyn Broker>> {
        let Some(factory) = self.brokers.get(name) else {
            return Err(wrong(unknown("broker", name, self.brokers())));
        };
        let connected = factory(arguments).await;
        connected.map_err(|error| error.context(format_args!("cannot connect to the broker {name}")))
    }

    /// Makes a source of configuration.
    #[cfg(feature = "config")]
    pub(crate) async fn make_source(
        &self,
        arguments: SourceArguments,
    ) -> micro_config::Result<Box<dyn micro_config::Source>> {
        let Some(factory) = self.sources.get(&arguments.kind) else {
            return Err(micro_config::Error::new(
                micro_config::ErrorKind::Misused,
                unknown("source", &arguments.kind, self.sources()),
            ));
        };
        factory(arguments).await
    }

    pub(crate) fn strategy_named(&self, name: &str) -> Option<Arc<dyn Strategy>> {
        // Go Micro's users know round robin by two spellings.
        let name = if name == "round_robin" { "roundrobin" } else { name };
        self.strategies.get(name).cloned()
    }

    pub(crate) fn profile_named(&self, name: &str) -> Option<&[(String, String)]> {
        self.profiles.get(name).map(Vec::as_slice)
    }
}

impl fmt::Debug for Plugins {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Plugins")
            .field("registries", &self.registries.keys())
            .field("transports", &self.transports.keys())
            .field("brokers", &self.brokers.keys())
            .field("strategies", &self.strategies.keys())
            .field("profiles", &self.profiles.keys())
            .finish()
    }
}

/// Says that a name is unknown, which ones are known, and which feature would link it.
pub(crate) fn unknown<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<_> = known.collect();
    let known = if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    };
    match builtin::feature(kind, name) {
        Some(feature) => format!(
            "the {kind} {name} is not linked into this program, which has: {known}; \
             build it with the feature {feature:?} of the crate `micro`"
        ),
        None => format!("no {kind} is called {name:?}; this program has: {known}"),
    }
}

pub(crate) fn wrong(detail: String) -> Error {
    Error::bad_request("go.micro.arguments", detail)
}
