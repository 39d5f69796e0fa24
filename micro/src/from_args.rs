//! Services and clients in one line.

use std::future::Future;

use micro_core::client::ClientBuilder;
use micro_core::{Client, Result, Service, ServiceBuilder};

use crate::{Arguments, Plugins};

/// Makes a service or a client as the process's arguments and environment say.
///
/// Asked for help or the version, these print that and end the process with code 0; what they cannot understand they
/// explain and end it with code 2. They also start to log, if nobody logs yet. See [`Arguments`] for programs with
/// arguments of their own, and for tests.
pub trait FromArgs {
    /// What is made: for endpoints, wrappers and codecs to be added.
    type Builder;

    /// With the plugins that this crate's features link.
    ///
    /// # Errors
    ///
    /// When a plugin that was chosen cannot be connected; the message names it.
    fn from_args(name: impl Into<String>) -> impl Future<Output = Result<Self::Builder>> + Send {
        Self::from_args_with(name, Plugins::builtin())
    }

    /// With a table of plugins of one's own.
    ///
    /// # Errors
    ///
    /// When a plugin that was chosen cannot be connected; the message names it.
    fn from_args_with(
        name: impl Into<String>,
        plugins: Plugins,
    ) -> impl Future<Output = Result<Self::Builder>> + Send;
}

impl FromArgs for Service {
    type Builder = ServiceBuilder;

    fn from_args_with(
        name: impl Into<String>,
        plugins: Plugins,
    ) -> impl Future<Output = Result<ServiceBuilder>> + Send {
        let settings = Arguments::new(name).plugins(plugins).parse();
        async move { settings.service().await }
    }
}

impl FromArgs for Client {
    type Builder = ClientBuilder;

    fn from_args_with(
        name: impl Into<String>,
        plugins: Plugins,
    ) -> impl Future<Output = Result<ClientBuilder>> + Send {
        let settings = Arguments::new(name).plugins(plugins).parse();
        async move { settings.client().await }
    }
}
