//! The configuration of services and clients.

use micro_config::Config;
use micro_core::client::ClientBuilder;
use micro_core::service::RunningService;
use micro_core::{Client, Service, ServiceBuilder};

/// What was made from arguments knows its configuration: that of the sources which `--config` names.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> micro::Result<()> {
/// use micro::prelude::*;
///
/// # let settings = Arguments::new("greeter").parse_from(["--registry=memory"], [("", ""); 0])?;
/// # let service = settings.service().await?;
/// // let service = Service::from_args("greeter").await?;
/// let greeting = service.config().live_or("greeting", "Hello".to_owned()).map_err(|error| Error::internal("greeter", error.to_string()))?;
/// let service = service.handler(endpoint_fn("Greeter.Hello", move |_: Context, name: String| {
///     let answer = format!("{} {name}", *greeting.get());
///     async move { Ok(answer) }
/// }));
/// # let _ = service;
/// # Ok(())
/// # }
/// ```
pub trait Configured {
    /// The configuration; an empty one where there are no sources.
    fn config(&self) -> Config;
}

macro_rules! configured {
    ($($made:ty),*) => {$(
        impl Configured for $made {
            fn config(&self) -> Config {
                self.extensions().get::<Config>().cloned().unwrap_or_default()
            }
        }
    )*};
}

configured!(ServiceBuilder, Service, RunningService, ClientBuilder, Client);
