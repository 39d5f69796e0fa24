//! Logging of programs that leave it to the framework, and what others need so that `Debug.Log` shows their lines.

#[cfg(feature = "log")]
mod layer;

use std::sync::{Arc, OnceLock};

use micro_core::debug::RecentLog;

#[cfg(feature = "log")]
pub use self::layer::RecentLogLayer;

/// Whether a text says what to log, and if not, why.
#[cfg(feature = "log")]
pub(crate) fn check(level: &str) -> Result<(), String> {
    filter(level).map(drop)
}

/// Without the feature `log` it is for the program to understand.
#[cfg(not(feature = "log"))]
pub(crate) fn check(_: &str) -> Result<(), String> {
    Ok(())
}

/// What is logged, to be changed while the process runs. Clones change the same.
#[derive(Clone, Default)]
#[cfg_attr(
    not(any(feature = "config", feature = "log")),
    allow(dead_code, reason = "nothing logs, and nothing changes it")
)]
pub(crate) struct LiveLevel(Arc<OnceLock<Change>>);

type Change = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

impl LiveLevel {
    /// Logs what this level says from now on. What it cannot understand changes nothing.
    ///
    /// # Errors
    ///
    /// When the level cannot be understood, or the process does not log by [`start`].
    #[cfg(feature = "config")]
    pub(crate) fn set(&self, level: &str) -> Result<(), String> {
        match self.0.get() {
            Some(change) => change(level),
            None => Err("this process does not leave its logging to the framework".to_owned()),
        }
    }
}

/// Logs to standard error and keeps the last lines, unless the process logs already.
#[cfg(feature = "log")]
pub(crate) fn start(level: &str, recent: &RecentLog, live: &LiveLevel) {
    use std::io::IsTerminal;

    use tracing_subscriber::layer::SubscriberExt;

    let Ok(first) = filter(level) else { return };
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let subscriber = tracing_subscriber::fmt()
        .compact()
        .with_writer(std::io::stderr)
        .with_ansi(!is_plain && std::io::stderr().is_terminal())
        .with_env_filter(first)
        .with_filter_reloading();
    let reload = subscriber.reload_handle();
    let subscriber = subscriber.finish().with(RecentLogLayer::new(recent.clone()));
    // An error means that the process logs already, which is for it to decide.
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        let change = move |level: &str| {
            let filter = filter(level)?;
            reload.reload(filter).map_err(|problem| problem.to_string())
        };
        let _ = live.0.set(Box::new(change));
    }
}

#[cfg(not(feature = "log"))]
pub(crate) fn start(_: &str, _: &RecentLog, _: &LiveLevel) {}

#[cfg(feature = "log")]
fn filter(level: &str) -> Result<tracing_subscriber::EnvFilter, String> {
    use tracing_subscriber::EnvFilter;

    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let mut directives = Vec::new();
    for directive in level.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let lower = directive.to_ascii_lowercase();
        // Go Micro's highest level, beyond which there is nothing here.
        let lower = if lower == "fatal" { "error" } else { &lower };
        let is_level = LEVELS.contains(&lower);
        // A bare word would count as a module to log everything of, and silence all others.
        if !is_level && !directive.contains(['=', '[']) {
            return Err(format!(
                "{directive:?} is no level; use error, warn, info, debug, trace or off, or module=level"
            ));
        }
        directives.push(if is_level {
            lower.to_owned()
        } else {
            directive.to_owned()
        });
    }
    // Clients of servers tell at this level of each connection; who wants to know asks for more, or for them by name.
    if directives == ["info"] {
        directives.extend(["async_nats=warn", "lapin=warn"].map(str::to_owned));
    }
    let directives = directives.join(",");
    EnvFilter::builder()
        .parse(&directives)
        .map_err(|problem| format!("{directives:?} cannot be understood: {problem}"))
}

#[cfg(all(test, feature = "log"))]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_understood() {
        for level in [
            "info",
            "WARN",
            "off",
            "fatal",
            "info,micro_core=debug",
            "micro_core=trace, warn",
        ] {
            assert_eq!(check(level), Ok(()), "{level}");
        }
        assert_eq!(filter("fatal").unwrap().to_string(), "error");
    }

    #[test]
    fn a_bare_word_is_no_level() {
        for level in ["loud", "info,micro_core", "micro_core=loud"] {
            assert!(check(level).is_err(), "{level}");
        }
        assert!(check("loud").unwrap_err().contains("\"loud\" is no level"));
    }
}
