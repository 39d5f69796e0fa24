//! What is refused or away leaves the last good.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_config::{
    Config, Decrypt, Document, Error, ErrorKind, Format, Memory, Result, Source, SourceState, async_trait,
};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

const SOON: Duration = Duration::from_secs(60);

/// A source that answers as it is told to.
#[derive(Clone)]
struct Told {
    name: &'static str,
    answer: Arc<Mutex<Result<&'static str, ErrorKind>>>,
    changed: Arc<Notify>,
    reads: Arc<AtomicU32>,
}

impl Told {
    fn new(name: &'static str, answer: Result<&'static str, ErrorKind>) -> Self {
        Self {
            name,
            answer: Arc::new(Mutex::new(answer)),
            changed: Arc::default(),
            reads: Arc::default(),
        }
    }

    fn say(&self, answer: Result<&'static str, ErrorKind>) {
        *self.answer.lock().unwrap() = answer;
        self.changed.notify_one();
    }

    fn reads(&self) -> u32 {
        self.reads.load(Ordering::Relaxed)
    }
}

impl fmt::Display for Told {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

#[async_trait]
impl Source for Told {
    async fn read(&mut self) -> Result<Vec<Document>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let answer = *self.answer.lock().unwrap();
        match answer {
            Ok("panic") => panic!("as told"),
            Ok(text) => Ok(vec![Document::text(
                format!("{}.json", self.name),
                Format::Json,
                text,
            )]),
            Err(kind) => Err(Error::new(kind, format_args!("{}: as told", self.name))),
        }
    }

    async fn changed(&mut self) -> Result<()> {
        self.changed.notified().await;
        Ok(())
    }
}

/// Waits until something is so. The clock is paused, so that it takes no time.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_validation_refuses_is_not_seen_and_others_go_on() {
    let one = Told::new("one", Ok(r#"{"port": 1}"#));
    let other = Told::new("other", Ok(r#"{"host": "a"}"#));
    let config = Config::builder()
        .source(one.clone())
        .source(other.clone())
        .validate(|view| match view.get::<u16>("port") {
            Ok(port) if port < 10 => Ok(()),
            _ => Err("port must be below 10".into()),
        })
        .build()
        .await
        .unwrap();
    one.say(Ok(r#"{"port": 11}"#));
    until("it is refused", || config.refused().is_some()).await;
    let refused = config.refused().unwrap();
    assert_eq!(refused.source, "one");
    assert_eq!(
        refused.error.to_string(),
        "the validation refused it: port must be below 10"
    );
    other.say(Ok(r#"{"host": "b"}"#));
    until("the other is seen", || {
        config.get::<String>("host").unwrap() == "b"
    })
    .await;
    assert_eq!(config.get::<u16>("port").unwrap(), 1);
    let sources = config.sources();
    assert!(
        matches!(sources[0].state, SourceState::Refused { .. }),
        "{sources:?}"
    );
    assert!(sources[1].state.is_ready(), "{sources:?}");
    one.say(Ok(r#"{"port": 2}"#));
    until("it is seen", || config.get::<u16>("port").unwrap() == 2).await;
    assert!(config.sources()[0].state.is_ready());
    let history = config.history();
    let seen: Vec<_> = history
        .iter()
        .map(|change| (change.source.as_str(), change.paths.clone()))
        .collect();
    assert_eq!(
        seen,
        [
            ("other", vec!["host".to_owned()]),
            ("one", vec!["port".to_owned()])
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_taken_over_once_another_source_allows_it() {
    let one = Told::new("one", Ok(r#"{"least": 1}"#));
    let other = Told::new("other", Ok(r#"{"most": 5}"#));
    let config = Config::builder()
        .source(one.clone())
        .source(other.clone())
        .validate(|view| match (view.get::<u8>("least"), view.get::<u8>("most")) {
            (Ok(least), Ok(most)) if least <= most => Ok(()),
            _ => Err("least is more than most".into()),
        })
        .build()
        .await
        .unwrap();
    one.say(Ok(r#"{"least": 7}"#));
    until("it is refused", || config.refused().is_some()).await;
    other.say(Ok(r#"{"most": 9}"#));
    until("it is taken over", || config.get::<u8>("least").unwrap() == 7).await;
}

#[tokio::test(start_paused = true)]
async fn a_validation_that_panics_refuses() {
    let memory = Memory::from(json!({"port": 1}));
    let config = Config::builder()
        .source(memory.clone())
        .validate(|view| {
            assert!(view.get::<u8>("port").unwrap() == 1);
            Ok(())
        })
        .build()
        .await
        .unwrap();
    memory.set("port", 2);
    until("it is refused", || config.refused().is_some()).await;
    assert_eq!(config.get::<u8>("port").unwrap(), 1);
    memory.set("port", 1);
    memory.set("host", "x");
    until("it goes on", || config.view().contains("host")).await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_asked_after_growing_pauses_and_comes_back() {
    let source = Told::new("one", Ok(r#"{"a": 1}"#));
    let config = Config::builder().source(source.clone()).build().await.unwrap();
    source.say(Err(ErrorKind::Unavailable));
    until("it fails", || !config.sources()[0].state.is_ready()).await;
    assert!(matches!(config.sources()[0].state, SourceState::Failing { .. }));
    let before = source.reads();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let asked = source.reads() - before;
    assert!((10..=30).contains(&asked), "{asked} reads in a minute");
    assert_eq!(config.get::<u8>("a").unwrap(), 1);
    // Nothing tells that it is back.
    *source.answer.lock().unwrap() = Ok(r#"{"a": 2}"#);
    let began = Instant::now();
    until("it is back", || config.get::<u8>("a").unwrap() == 2).await;
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_missing_source_is_an_error_unless_it_is_optional() {
    let source = Told::new("one", Err(ErrorKind::Missing));
    let error = Config::builder()
        .source(source.clone())
        .build()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    let config = Config::builder().optional(source.clone()).build().await.unwrap();
    assert!(matches!(config.sources()[0].state, SourceState::Missing { .. }));
    source.say(Ok(r#"{"a": 1}"#));
    until("it is seen", || config.view().contains("a")).await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_away_is_waited_for_with_patience() {
    let source = Told::new("one", Err(ErrorKind::Unavailable));
    let began = Instant::now();
    let building = Config::builder()
        .source(source.clone())
        .patience(Duration::from_secs(3))
        .build();
    let error = building.await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the configuration cannot be read within 3s: one: as told"
    );
    assert_eq!(began.elapsed().as_secs(), 3);
    let building = Config::builder().source(source.clone()).build();
    let later = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        source.say(Ok(r#"{"a": 1}"#));
    };
    let (built, ()) = tokio::join!(building, later);
    assert_eq!(built.unwrap().get::<u8>("a").unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_malformed_at_the_beginning_is_an_error_with_its_place() {
    let source = Told::new("one", Ok("{\n\"a\" 1}"));
    let error = Config::builder().source(source).build().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        error.to_string(),
        "it is not valid JSON: expected `:` (one.json line 2)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_is_told() {
    let source = Told::new("one", Ok(r#"{"a": 1}"#));
    let config = Config::builder().source(source.clone()).build().await.unwrap();
    source.say(Ok("panic"));
    until("it is told", || !config.sources()[0].state.is_ready()).await;
    let state = config.sources().remove(0).state;
    let error = state.error().unwrap().to_string();
    assert_eq!(error, "one: the source panicked and is not asked any more");
    assert_eq!(config.get::<u8>("a").unwrap(), 1);
    config.close().await;
}

/// Knows one word, and counts how often it is asked.
struct Known {
    asked: Arc<AtomicU32>,
}

#[async_trait]
impl Decrypt for Known {
    async fn decrypt(&self, sealed: &str) -> Result<String, String> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match sealed {
            "sealed" => Ok("${CLEAR} encrypted:sealed".into()),
            _ => Err("the key does not fit".into()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn encrypted_values_are_decrypted_once_and_refused_where_they_cannot_be() {
    let asked = Arc::new(AtomicU32::new(0));
    let memory = Memory::from(json!({"password": "encrypted:${WORD}", "a": ["encrypted:sealed"]}));
    let known = Known {
        asked: Arc::clone(&asked),
    };
    let config = Config::builder()
        .source(memory.clone())
        .decrypt(known)
        .environment(|name| (name == "WORD").then(|| "sealed".to_owned()))
        .build()
        .await
        .unwrap();
    let clear = "${CLEAR} encrypted:sealed";
    assert_eq!(config.get::<String>("password").unwrap(), clear);
    assert_eq!(config.get::<String>("a.0").unwrap(), clear);
    memory.set("b", 1);
    until("the change is seen", || config.view().contains("b")).await;
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    memory.set("c", "encrypted:other");
    until("it is refused", || config.refused().is_some()).await;
    assert_eq!(
        config.refused().unwrap().error.to_string(),
        "c: it cannot be decrypted (memory): the key does not fit"
    );
    assert!(!config.view().contains("c"));
}

#[tokio::test(start_paused = true)]
async fn a_watch_sees_the_newest_and_only_its_path() {
    let memory = Memory::from(json!({"a": {"b": 0}, "c": 0}));
    let config = Config::builder()
        .source(memory.clone())
        .debounce(Duration::ZERO)
        .build()
        .await
        .unwrap();
    let mut watch = config.watch::<u32>("a.b");
    for number in 1..=100 {
        memory.set("a.b", number);
        tokio::task::yield_now().await;
    }
    until("all are taken over", || config.get::<u32>("a.b").unwrap() == 100).await;
    assert_eq!(watch.next().await.unwrap().unwrap(), 100);
    memory.set("c", 1);
    until("the other is seen", || config.get::<u32>("c").unwrap() == 1).await;
    assert!(timeout(Duration::from_secs(5), watch.next()).await.is_err());
    memory.remove("a");
    let gone = watch.next().await.unwrap().unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Missing);
    drop(config);
    assert!(watch.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_ends_the_tasks() {
    let source = Told::new("one", Ok("{}"));
    let config = Config::builder().source(source.clone()).build().await.unwrap();
    let other = config.clone();
    drop(config);
    other.close().await;
    assert_eq!(Arc::strong_count(&source.reads), 1);
    other.close().await;
    let config = Config::builder().source(source.clone()).build().await.unwrap();
    drop(config);
    until("its tasks end", || Arc::strong_count(&source.reads) == 1).await;
}
