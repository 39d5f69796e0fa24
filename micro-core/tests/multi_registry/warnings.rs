//! What is logged of a registry that does not take records.

use std::fmt::Debug;
use std::sync::Mutex;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::*;

/// Keeps what is logged from `info` on.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!(" {field}={value:?}");
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_take_a_record_is_told_once_in_each_outage() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let (old, new, multi) = both();
    let register = || async {
        let registered = multi
            .register(&record("a", "1"), RegisterOptions::default())
            .await;
        (registered.is_ok(), log.take())
    };
    for _ in 0..2 {
        old.go_down();
        let (_, told) = register().await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("WARN") && told[0].contains("\"old\""),
            "{told:?}"
        );
        assert_eq!(register().await, (true, vec![]));
        old.come_back();
        let (_, told) = register().await;
        assert!(
            told[0].starts_with("INFO") && told[0].contains("\"old\""),
            "{told:?}"
        );
        assert_eq!(register().await, (true, vec![]));
    }
    old.go_down();
    new.go_down();
    assert_eq!(register().await, (false, vec![]), "the caller is told, and tells");
    old.come_back();
    let (is_registered, told) = register().await;
    assert!(is_registered);
    assert!(told.iter().all(|line| line.starts_with("INFO")), "{told:?}");
}
