//! Whatever goes wrong outside leaves a configuration that says so and goes on.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_config::{
    Config, Decrypt, Document, Error, ErrorKind, Memory, Result, Source, SourceState, async_trait,
};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

const SOON: Duration = Duration::from_secs(60);

/// Waits until something is so. The clock is paused, so that it takes no time.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// What a source answers, and how long it waits for a change.
#[derive(Clone, Copy)]
enum Answer {
    Says(u32),
    Fails(ErrorKind),
    Hangs,
}

/// A source that is told what to answer, and whether waiting for changes fails.
#[derive(Clone)]
struct Puppet(Arc<Strings>);

struct Strings {
    answer: Mutex<Answer>,
    changed: Notify,
    waiting_fails: Mutex<bool>,
    reads: AtomicU32,
}

impl Puppet {
    fn new(answer: Answer) -> Self {
        Self(Arc::new(Strings {
            answer: Mutex::new(answer),
            changed: Notify::new(),
            waiting_fails: Mutex::new(false),
            reads: AtomicU32::new(0),
        }))
    }

    fn set(&self, answer: Answer, waiting_fails: bool) {
        self.set_untold(answer, waiting_fails);
        self.0.changed.notify_one();
    }

    fn set_untold(&self, answer: Answer, waiting_fails: bool) {
        *self.0.answer.lock().unwrap() = answer;
        *self.0.waiting_fails.lock().unwrap() = waiting_fails;
    }

    fn reads(&self) -> u32 {
        self.0.reads.load(Ordering::Relaxed)
    }

    fn waiting_fails(&self) -> Result<()> {
        match *self.0.waiting_fails.lock().unwrap() {
            true => Err(Error::new(
                ErrorKind::Unavailable,
                "puppet: the connection is lost",
            )),
            false => Ok(()),
        }
    }
}

impl fmt::Display for Puppet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("puppet")
    }
}

#[async_trait]
impl Source for Puppet {
    async fn read(&mut self) -> Result<Vec<Document>> {
        self.0.reads.fetch_add(1, Ordering::Relaxed);
        let answer = *self.0.answer.lock().unwrap();
        match answer {
            Answer::Says(number) => Ok(vec![Document::value("puppet", json!({ "number": number }))]),
            Answer::Fails(kind) => Err(Error::new(kind, "puppet: as told")),
            Answer::Hangs => pending().await,
        }
    }

    async fn changed(&mut self) -> Result<()> {
        self.waiting_fails()?;
        self.0.changed.notified().await;
        self.waiting_fails()
    }
}

/// Panics at one text, hangs at another, and counts.
#[derive(Clone, Default)]
struct Moody {
    asked: Arc<AtomicU32>,
}

#[async_trait]
impl Decrypt for Moody {
    async fn decrypt(&self, sealed: &str) -> Result<String, String> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match sealed {
            "panic" => panic!("as told"),
            "hang" => pending().await,
            "bad" => return Err("the key does not fit".into()),
            "slow" | "slow too" => sleep(Duration::from_secs(8)).await,
            _ => {}
        }
        Ok(format!("clear {sealed}"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_decrypting_is_a_refusal() {
    let memory = Memory::from(json!({"a": 1}));
    let building = Config::builder().source(memory.clone()).decrypt(Moody::default());
    let config = building.build().await.unwrap();
    memory.set("b", "encrypted:panic");
    until("it is refused", || config.refused().is_some()).await;
    let error = config.refused().unwrap().error.to_string();
    assert!(error.contains("b: ") && error.contains("panicked"), "{error}");
    memory.set("b", "encrypted:x");
    until("it goes on", || config.view().contains("b")).await;
    assert_eq!(config.get::<String>("b").unwrap(), "clear x");
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_a_variable_is_looked_up_is_a_refusal() {
    let memory = Memory::from(json!({"a": 1}));
    let building = Config::builder()
        .source(memory.clone())
        .environment(|name| match name {
            "PANIC" => panic!("as told"),
            _ => None,
        });
    let config = building.build().await.unwrap();
    memory.set("b", "${PANIC}");
    until("it is refused", || config.refused().is_some()).await;
    memory.set("b", "${X:-y}");
    until("it goes on", || config.view().contains("b")).await;
}

#[tokio::test(start_paused = true)]
async fn what_variables_put_in_is_limited() {
    let memory = Memory::from(json!({"a": 1}));
    let building = Config::builder()
        .source(memory.clone())
        .environment(|_| Some("x".repeat(1024 * 1024)));
    let config = building.build().await.unwrap();
    memory.set("b", "${X}".repeat(1000));
    until("it is refused", || config.refused().is_some()).await;
    let error = config.refused().unwrap().error.to_string();
    assert!(error.contains("b: ") && error.contains("MiB"), "{error}");
    memory.set("b", "${X}");
    until("it goes on", || config.view().contains("b")).await;
}

#[tokio::test(start_paused = true)]
async fn slow_decryption_keeps_no_other_source_waiting() {
    let (slow, other) = (Memory::from(json!({"a": 1})), Memory::from(json!({"b": 1})));
    let building = Config::builder()
        .source(slow.clone())
        .source(other.clone())
        .decrypt(Moody::default());
    let config = building.build().await.unwrap();
    slow.set(
        "c",
        json!(["encrypted:hang", "encrypted:hang 2", "encrypted:slow"]),
    );
    sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    other.set("b", 2);
    until("the other is seen", || config.get::<u8>("b").unwrap() == 2).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    slow.set("c", "encrypted:slow");
    until("it is seen at last", || config.view().contains("c")).await;
}

#[tokio::test(start_paused = true)]
async fn many_slow_values_have_one_deadline_together() {
    let memory = Memory::from(json!({"a": 1}));
    let building = Config::builder().source(memory.clone()).decrypt(Moody::default());
    let config = building.build().await.unwrap();
    let began = Instant::now();
    memory.set(
        "b",
        json!(["encrypted:slow", "encrypted:slow too", "encrypted:hang"]),
    );
    until("it is refused", || config.refused().is_some()).await;
    assert!(began.elapsed() < Duration::from_secs(11), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_was_decrypted_is_not_asked_for_again_because_something_was_refused() {
    let memory = Memory::from(json!({"a": "encrypted:one", "port": 1}));
    let moody = Moody::default();
    let asked = Arc::clone(&moody.asked);
    let building = Config::builder()
        .source(memory.clone())
        .decrypt(moody)
        .validate(|view| match view.get::<u8>("port") {
            Ok(1..10) => Ok(()),
            _ => Err("port must be below 10".into()),
        });
    let config = building.build().await.unwrap();
    memory.replace(json!({"b": "encrypted:two", "port": 11}));
    until("it is refused", || config.refused().is_some()).await;
    memory.replace(json!({"a": "encrypted:one", "b": "encrypted:two", "port": 2}));
    until("it is taken over", || config.view().contains("b")).await;
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    memory.set("c", json!(["encrypted:three", "encrypted:bad"]));
    sleep(Duration::from_secs(60)).await;
    let before = asked.load(Ordering::Relaxed);
    memory.set("c", json!(["encrypted:three"]));
    until("the rest is taken over", || config.view().contains("c")).await;
    assert_eq!(asked.load(Ordering::Relaxed), before);
}

#[tokio::test(start_paused = true)]
async fn an_optional_source_that_never_answers_does_not_hinder_the_beginning() {
    let puppet = Puppet::new(Answer::Hangs);
    let building = Config::builder()
        .source(Memory::from(json!({"a": 1})))
        .optional(puppet.clone());
    let config = building.patience(Duration::from_secs(3)).build().await.unwrap();
    assert_eq!(config.get::<u8>("a").unwrap(), 1);
    let state = config.sources().remove(1).state;
    assert!(matches!(state, SourceState::Failing { .. }), "{state:?}");
    puppet.set(Answer::Says(2), false);
    let end = Instant::now() + Duration::from_secs(120);
    while !config.view().contains("number") {
        assert!(Instant::now() < end, "{:?}", config.sources());
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_answered_well_does_not_hinder_the_beginning_later() {
    let (first, late) = (
        Puppet::new(Answer::Says(1)),
        Puppet::new(Answer::Fails(ErrorKind::Unavailable)),
    );
    let building = Config::builder()
        .source(first.clone())
        .source(late.clone())
        .build();
    let changing = async {
        sleep(Duration::from_secs(1)).await;
        first.set(Answer::Fails(ErrorKind::Missing), false);
        sleep(Duration::from_secs(1)).await;
        late.set(Answer::Says(2), false);
    };
    let (config, ()) = tokio::join!(building, changing);
    let config = config.unwrap();
    assert_eq!(config.get::<u8>("number").unwrap(), 2);
    let state = config.sources().remove(0).state;
    assert!(matches!(state, SourceState::Missing { .. }), "{state:?}");
}

#[tokio::test(start_paused = true)]
async fn the_pauses_of_one_outage_are_not_those_of_the_next() {
    let puppet = Puppet::new(Answer::Says(0));
    let config = Config::builder().source(puppet.clone()).build().await.unwrap();
    for outage in 1..6 {
        puppet.set(Answer::Fails(ErrorKind::Unavailable), true);
        sleep(Duration::from_secs(1)).await;
        puppet.set_untold(Answer::Says(outage), false);
        let began = Instant::now();
        until("it is back", || config.get::<u32>("number").unwrap() == outage).await;
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "{outage}: {:?}",
            began.elapsed()
        );
        sleep(Duration::from_secs(60)).await;
    }
    // Waiting that fails now and then, and reading that always works.
    for hour in 10..20 {
        puppet.set(Answer::Says(hour), true);
        sleep(Duration::from_millis(50)).await;
        puppet.set_untold(Answer::Says(hour), false);
        let began = Instant::now();
        until("it is seen", || config.get::<u32>("number").unwrap() == hour).await;
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "{hour}: {:?}",
            began.elapsed()
        );
        sleep(Duration::from_secs(3600)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_that_fails_at_once_makes_no_pause_shorter() {
    let puppet = Puppet::new(Answer::Says(0));
    let config = Config::builder().source(puppet.clone()).build().await.unwrap();
    puppet.set(Answer::Fails(ErrorKind::Unavailable), true);
    sleep(Duration::from_secs(60)).await;
    assert!(
        (10..=30).contains(&puppet.reads()),
        "{} reads in a minute",
        puppet.reads()
    );
    assert_eq!(config.get::<u32>("number").unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn it_is_wrong_since_the_kind_of_trouble_began() {
    let puppet = Puppet::new(Answer::Says(0));
    let config = Config::builder().source(puppet.clone()).build().await.unwrap();
    puppet.set(Answer::Fails(ErrorKind::Unavailable), false);
    until("it fails", || {
        matches!(config.sources()[0].state, SourceState::Failing { .. })
    })
    .await;
    let SourceState::Failing { since: failing, .. } = config.sources()[0].state else {
        panic!("it does not fail any more");
    };
    puppet.set(Answer::Fails(ErrorKind::Missing), false);
    until("it is missing", || {
        matches!(config.sources()[0].state, SourceState::Missing { .. })
    })
    .await;
    let SourceState::Missing { since, .. } = config.sources()[0].state else {
        panic!("it is not missing any more");
    };
    assert!(since > failing);
}

#[tokio::test]
async fn closing_twice_at_once_waits_twice() {
    /// Takes a while to be dropped.
    struct Heavy(Arc<AtomicU32>);

    impl fmt::Display for Heavy {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("heavy")
        }
    }

    impl Drop for Heavy {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[async_trait]
    impl Source for Heavy {
        async fn read(&mut self) -> Result<Vec<Document>> {
            Ok(Vec::new())
        }
    }

    let dropped = Arc::new(AtomicU32::new(0));
    let config = Config::builder()
        .source(Heavy(Arc::clone(&dropped)))
        .build()
        .await
        .unwrap();
    let closing = async || {
        config.close().await;
        dropped.load(Ordering::Relaxed)
    };
    assert_eq!(tokio::join!(closing(), closing()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_live_value_takes_null_as_the_default_is_taken_elsewhere() {
    let memory = Memory::from(json!({"a": null}));
    let config = Config::builder().source(memory.clone()).build().await.unwrap();
    assert_eq!(config.get_or("a", 7).unwrap(), 7);
    let live = config.live_or("a", 7).unwrap();
    assert_eq!(*live.get(), 7);
    memory.set("a", 8);
    until("it is seen", || *live.get() == 8).await;
    memory.set("a", Value::Null);
    until("it is the default again", || *live.get() == 7).await;
    assert!(live.error().is_none());
}

fn deep(levels: usize) -> Value {
    (0..levels).fold(json!(1), |value, _| Value::Array(vec![value]))
}

#[tokio::test(start_paused = true)]
async fn values_that_are_nested_very_deep_are_refused() {
    let memory = Memory::from(json!({"a": 1}));
    let config = Config::builder().source(memory.clone()).build().await.unwrap();
    memory.set(&"a.".repeat(100_000), 1);
    memory.set("b", deep(100_000));
    memory.set(&format!("{}z", "c.".repeat(100)), deep(100));
    memory.replace(deep(100_000));
    drop(Memory::from(deep(100_000)));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(config.view().value("").unwrap(), json!({"a": 1}));
    memory.set(&format!("{}z", "c.".repeat(100)), 1);
    until("what is less deep is seen", || config.view().contains("c")).await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_nests_very_deep_is_refused() {
    struct Deep;

    impl fmt::Display for Deep {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("deep")
        }
    }

    #[async_trait]
    impl Source for Deep {
        async fn read(&mut self) -> Result<Vec<Document>> {
            Ok(vec![Document::value("deep", deep(100_000)).at(["a"])])
        }
    }

    let error = Config::builder().source(Deep).build().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("deeper than"), "{error}");
}
