//! Configuration: read before anything is made, and followed by what is made.

mod options;
mod thread;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use micro_config::{Builder, Config, View};

use super::section::Section;
use super::values::{Given, Values};
use super::{CONFIG, Settings};
use crate::Plugins;
use crate::plugins::sources::{Named, without_login};

/// The configuration of settings, and what is needed to read them again when it changes.
#[derive(Clone, Default)]
pub(super) struct Followed {
    pub(super) config: Config,
    reading: Option<Arc<Reading>>,
}

/// From what they were read, and as what.
struct Reading {
    given: Arc<Given>,
    read: options::Read,
}

/// Reads settings, and the sources that they name first.
///
/// # Errors
///
/// When a source cannot be read, or something has a value that makes no sense.
pub(super) fn settings(given: Given) -> Result<Settings, String> {
    let given = Arc::new(given);
    let names = Values::of_user(&given, CONFIG)?;
    if names.is_empty() && given.arguments.shape_config.is_none() {
        let values = Values::read(&given, &Section::default())?;
        return Settings::read(&given, values);
    }
    let config = thread::start(given.clone(), names)?;
    let mut settings = of_view(&given, &config.view())?;
    let read = options::Read {
        log_level: settings.log_level.clone(),
        client: settings.client,
        limits: settings.limits,
    };
    settings.followed = Followed {
        config,
        reading: Some(Arc::new(Reading { given, read })),
    };
    Ok(settings)
}

/// The settings that follow from a view.
fn of_view(given: &Given, view: &View) -> Result<Settings, String> {
    let values = Values::read(given, &Section::of(view)?)?;
    Settings::read(given, values)
}

/// Begins a configuration of sources: the program's own first, which those that are named win over.
///
/// # Errors
///
/// When a source cannot be made of its name.
async fn builder(
    plugins: &Plugins,
    environment: &Arc<HashMap<String, String>>,
    own: Option<&Shape>,
    names: &[String],
) -> micro_config::Result<Builder> {
    let variables = environment.clone();
    let mut builder = Config::builder().environment(move |name| variables.get(name).cloned());
    if let Some(own) = own {
        builder = own.apply(builder);
    }
    for name in names {
        let is_known = |kind: &str| plugins.sources().any(|known| known == kind);
        let Named {
            is_optional,
            arguments,
        } = Named::read(name, environment, is_known);
        let made = plugins.make_source(arguments).await;
        let source =
            made.map_err(|problem| problem.context(format_args!("the source {:?}", without_login(name))))?;
        builder = match is_optional {
            true => builder.optional(source),
            false => builder.source(source),
        };
    }
    Ok(builder)
}

impl Settings {
    /// The configuration of the sources that `--config` names, which follows them. Without any it is empty, and stays so.
    ///
    /// The services and clients that are made from these settings have the same: see
    /// [`Configured`](crate::Configured).
    pub fn config(&self) -> &Config {
        &self.followed.config
    }

    /// Begins a configuration of sources that are named as `--config` does, the later over the earlier. Nothing else of
    /// these settings plays a part in it.
    ///
    /// # Errors
    ///
    /// When a kind of source is unknown, or a source cannot be made of what is said.
    pub async fn config_builder<N: AsRef<str>>(&self, names: &[N]) -> micro_config::Result<Builder> {
        let names: Vec<String> = names.iter().map(|name| name.as_ref().to_owned()).collect();
        builder(&self.plugins, &self.values.environment, None, &names).await
    }
}

/// What a program adds to its configuration.
#[derive(Clone)]
pub(super) struct Shape(Arc<dyn Fn(Builder) -> Builder + Send + Sync>);

impl Shape {
    /// What was added before, then this.
    pub(super) fn after<F>(before: Option<Self>, shape: F) -> Self
    where
        F: Fn(Builder) -> Builder + Send + Sync + 'static,
    {
        Self(Arc::new(move |builder| {
            shape(match &before {
                Some(before) => before.apply(builder),
                None => builder,
            })
        }))
    }

    fn apply(&self, builder: Builder) -> Builder {
        (self.0)(builder)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Shape")
    }
}
