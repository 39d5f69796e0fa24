//! From `tracing`'s events to lines of the recent log.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use micro_core::debug::{RecentLog, Record};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Keeps what is logged in a [`RecentLog`]: for programs that set up `tracing` themselves.
///
/// ```
/// use micro::debug::{Diagnostics, DiagnosticsOptions, RecentLog};
/// use micro::log::RecentLogLayer;
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let log = RecentLog::new();
/// let subscriber = tracing_subscriber::registry().with(RecentLogLayer::new(log.clone()));
/// # let _ = subscriber;
/// let diagnostics = Diagnostics::new(DiagnosticsOptions { log, ..DiagnosticsOptions::default() });
/// let builder = micro::Service::builder("greeter").diagnostics(diagnostics);
/// ```
#[derive(Debug, Clone)]
pub struct RecentLogLayer(RecentLog);

impl RecentLogLayer {
    /// A layer that keeps lines there.
    pub fn new(log: RecentLog) -> Self {
        Self(log)
    }
}

impl<S: Subscriber> Layer<S> for RecentLogLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut record = Record {
            timestamp: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
            ..Record::default()
        };
        event.record(&mut Fields(&mut record));
        // Last, so that no field of the line can say otherwise.
        let facts = event.metadata();
        record
            .metadata
            .insert("level".into(), facts.level().as_str().to_ascii_lowercase());
        record.metadata.insert("target".into(), facts.target().into());
        self.0.push(record);
    }
}

struct Fields<'a>(&'a mut Record);

impl Fields<'_> {
    fn set(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.0.message = value,
            name => {
                self.0.metadata.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn an_event_becomes_a_line_with_its_fields() {
        let log = RecentLog::new();
        let subscriber = tracing_subscriber::registry().with(RecentLogLayer::new(log.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target: "shop", node = "a-1", tries = 3, level = "no", "cannot {}", "register");
        });
        let [line] = &log.recent(9, 0)[..] else {
            panic!("one line");
        };
        assert_eq!(line.message, "cannot register");
        assert!(line.timestamp > 0);
        let fields = line
            .metadata
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        assert!(
            fields.eq([
                ("level", "warn"),
                ("node", "a-1"),
                ("target", "shop"),
                ("tries", "3")
            ]),
            "{line:?}"
        );
    }
}
