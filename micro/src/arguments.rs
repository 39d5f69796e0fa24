//! Reads a program's arguments and environment, and makes services and clients as they say.

mod argument;
mod command;
mod duration;
mod exit;
mod limits;
mod settings;
mod table;
mod section;
mod values;
#[cfg(feature = "config")]
mod followed;
#[cfg(all(test, feature = "mdns", feature = "log", feature = "config"))]
mod documented;

use std::ffi::OsString;
use std::path::Path;

use crate::Plugins;

use self::section::Section;
use self::values::{Given, Values};

/// The flag that names the sources of configuration.
#[cfg(feature = "config")]
const CONFIG: &str = "config";

#[cfg(feature = "http-config")]
pub(crate) use self::duration::parse_duration;

pub use self::argument::Argument;
pub use self::exit::Exit;
pub use self::limits::Limits;
pub use self::settings::{PluginChoice, Settings, TlsFiles};

/// What a program accepts: the framework's flags and variables, and its own arguments.
///
/// A flag wins over its variable, that over the configuration (with the feature `config`), that over the chosen profile,
/// that over the program's [default](Self::default_value), and that over the framework's. Empty values count as not given. Variables that no flag has are ignored.
///
/// ```
/// use micro::{Argument, Arguments};
///
/// let arguments = Arguments::new("greeter-client")
///     .about("Greets somebody")
///     .argument(Argument::positional("name", "Whom to greet").default("World"))
///     .default_value("client_request_timeout", "2s");
/// // A program calls `parse()`; a test says what is given.
/// let settings = arguments.parse_from(["--selector=p2c", "Alice"], [("MICRO_REGISTRY", "memory")]).unwrap();
/// assert_eq!(settings.value("name"), Some("Alice"));
/// assert_eq!(settings.registry.name, "memory");
/// ```
#[derive(Debug, Clone)]
pub struct Arguments {
    name: String,
    version: Option<String>,
    about: Option<String>,
    own: Vec<Argument>,
    defaults: Vec<(String, String)>,
    plugins: Plugins,
    program: Option<String>,
    width: Option<usize>,
    #[cfg(feature = "config")]
    shape_config: Option<followed::Shape>,
    #[cfg(feature = "config")]
    reads_config: bool,
}

impl Arguments {
    /// The framework's arguments, for a service or client of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: None,
            about: None,
            own: Vec::new(),
            defaults: Vec::new(),
            plugins: Plugins::builtin(),
            program: None,
            width: None,
            #[cfg(feature = "config")]
            shape_config: None,
            #[cfg(feature = "config")]
            reads_config: true,
        }
    }

    /// The program's version, such as `env!("CARGO_PKG_VERSION")`: for `--version`, and for the registry unless
    /// `--server_version` says otherwise. Default: none, which the registry knows as `latest`.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// What the program does, in a sentence: the help begins with it. Default: nothing.
    #[must_use]
    pub fn about(mut self, about: impl Into<String>) -> Self {
        self.about = Some(about.into());
        self
    }

    /// One more argument, the program's own. Positional ones are taken in the order in which they are added.
    #[must_use]
    pub fn argument(mut self, argument: Argument) -> Self {
        self.own.push(argument);
        self
    }

    /// What counts for a flag of the framework, such as `server_address`, where the user says nothing.
    #[must_use]
    pub fn default_value(mut self, flag: impl Into<String>, value: impl Into<String>) -> Self {
        self.defaults.push((flag.into(), value.into()));
        self
    }

    /// The plugins to choose from. Default: [`Plugins::builtin`].
    #[must_use]
    pub fn plugins(mut self, plugins: Plugins) -> Self {
        self.plugins = plugins;
        self
    }

    /// What the program adds to its configuration before the sources of `--config`, which win over its own: sources, a
    /// validation, a provider for encrypted values. Called again, it adds to what was added before.
    ///
    /// With it, a program has a configuration also where `--config` names none.
    ///
    /// ```
    /// use micro::Arguments;
    /// use micro::config::{Env, File};
    ///
    /// let arguments = Arguments::new("shop").configure(|config| {
    ///     config
    ///         .optional(File::new("shop.toml"))
    ///         .source(Env::stripped("SHOP"))
    ///         .validate(|view| match view.get_or("prices.vat", 0.2) {
    ///             Ok(vat) if (0.0..1.0).contains(&vat) => Ok(()),
    ///             Ok(vat) => Err(format!("prices.vat is {vat}; write a part of 1")),
    ///             Err(problem) => Err(problem.to_string()),
    ///         })
    /// });
    /// ```
    #[cfg(feature = "config")]
    #[must_use]
    pub fn configure<F>(mut self, shape: F) -> Self
    where
        F: Fn(micro_config::Builder) -> micro_config::Builder + Send + Sync + 'static,
    {
        self.shape_config = Some(followed::Shape::after(self.shape_config.take(), shape));
        self
    }

    /// Leaves the sources of `--config` unread: for tools that look at the configuration of others. They make it with
    /// [`Settings::config_builder`].
    #[cfg(feature = "config")]
    #[must_use]
    pub fn leave_config(mut self) -> Self {
        self.reads_config = false;
        self
    }

    /// Reads this process's arguments and environment, and starts logging as they say, if nobody logs yet.
    ///
    /// Asked for help or the version, it prints that and ends the process with code 0. What it cannot understand it
    /// explains on standard error, and ends the process with code 2.
    ///
    /// Where sources of configuration are named, it blocks until they have answered: servers are waited for up to 10 s.
    /// From then on a thread of its own follows them, for as long as somebody has the configuration.
    pub fn parse(mut self) -> Settings {
        let mut words = std::env::args_os();
        let program = words.next();
        self.program = program
            .as_deref()
            .and_then(|program| Path::new(program).file_name())
            .map(|program| program.to_string_lossy().into_owned());
        match self.parse_from(words, std::env::vars_os()) {
            Ok(settings) => {
                settings.start_log();
                settings
            }
            Err(exit) => exit.exit(),
        }
    }

    /// Reads these arguments (without the program's name) and this environment, and nothing of the process but the
    /// sources of configuration that these name. It blocks as [`parse`](Self::parse) does: what serves a source in a test
    /// must run on another thread.
    ///
    /// # Errors
    ///
    /// With what [`parse`](Self::parse) would print before ending the process.
    pub fn parse_from<A, E, K, V>(&self, arguments: A, environment: E) -> Result<Settings, Exit>
    where
        A: IntoIterator<Item: Into<OsString> + Clone>,
        E: IntoIterator<Item = (K, V)>,
        K: Into<OsString>,
        V: Into<OsString>,
    {
        self.check()?;
        let matches = self.command().try_get_matches_from_mut(arguments).map_err(Exit)?;
        self.settings_from(&matches, environment)
    }

    /// Reads what a parser made by [`to_clap`](Self::to_clap) has matched, and this environment.
    ///
    /// # Errors
    ///
    /// With what is to be printed, when a value cannot be understood.
    ///
    /// # Panics
    ///
    /// When the matches are of a parser that was made otherwise.
    pub fn settings_from<E, K, V>(&self, matches: &clap::ArgMatches, environment: E) -> Result<Settings, Exit>
    where
        E: IntoIterator<Item = (K, V)>,
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let environment = environment
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        let given = Given::new(self, matches, environment.collect());
        self.settings_of(given)
            .map_err(|problem| Exit::wrong(&mut self.command(), problem))
    }

    fn settings_of(&self, given: Given) -> Result<Settings, String> {
        #[cfg(feature = "config")]
        if self.reads_config {
            return followed::settings(given);
        }
        let values = Values::read(&given, &Section::default())?;
        Settings::read(&given, values)
    }

    /// The arguments of the framework, then the program's own.
    fn all(&self) -> impl Iterator<Item = &Argument> {
        table::FLAGS.iter().chain(&self.own)
    }

    /// Finds the program's own mistakes, which the parser would panic at.
    fn check(&self) -> Result<(), Exit> {
        let mut seen = vec!["help".to_owned(), "version".to_owned()];
        for argument in self.all() {
            let name = argument.name;
            let is_odd = |letter: char| letter == '=' || letter.is_whitespace();
            if name.is_empty() || name.starts_with('-') || name.contains(is_odd) {
                return Err(self.mistake(&format!("it has an argument with the name {name:?}")));
            }
            let spelling = name.replace('-', "_");
            if seen.contains(&spelling) {
                return Err(self.mistake(&format!("it has two arguments with the name {name}")));
            }
            seen.push(spelling);
        }
        let positional: Vec<_> = self.own.iter().filter(|own| own.is_positional()).collect();
        for pair in positional.windows(2) {
            let (first, second) = (pair[0], pair[1]);
            if first.kind == argument::Kind::Rest {
                return Err(self.mistake(&format!("nothing is left for its argument {}", second.name)));
            }
            if self.must_be_given(second) && !self.must_be_given(first) {
                return Err(self.mistake(&format!(
                    "its argument {} is required, but {} before it is not",
                    second.name, first.name
                )));
            }
        }
        for (flag, _) in &self.defaults {
            if !self.all().any(|argument| argument.name == flag) {
                return Err(self.mistake(&format!("it has a default for {flag:?}, which is no flag")));
            }
        }
        Ok(())
    }

    fn mistake(&self, what: &str) -> Exit {
        let problem = format!("the program {} is wrong: {what}", self.name);
        Exit::wrong(&mut clap::Command::new(self.name.clone()), problem)
    }
}
