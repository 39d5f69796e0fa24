//! For the tests that a source has beside the cases: how they follow it, and how they wait for what it says. All of it
//! panics when it is waited for in vain, as tests do.

use std::time::Duration;

use micro_config::{Config, Content, Document, Result, Source, Watch};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a source says, alone.
///
/// # Errors
///
/// As [`Builder::build`](micro_config::Builder::build).
pub async fn said(source: impl Source) -> Result<Value> {
    Config::builder().source(source).build().await?.scan()
}

/// A configuration of this source alone.
pub async fn follow(source: impl Source) -> Config {
    let built = Config::builder().source(source).build().await;
    built.unwrap_or_else(|error| panic!("{error}"))
}

/// The next value of a watch.
pub async fn next(watch: &mut Watch<Value>) -> Value {
    match timeout(PATIENCE, watch.next()).await {
        Ok(Some(Ok(value))) => value,
        Ok(Some(Err(error))) => panic!("{error}"),
        Ok(None) => panic!("the watch has ended"),
        Err(_) => panic!("the watch told of nothing within {PATIENCE:?}"),
    }
}

/// Waits until a configuration says something.
pub async fn until(config: &Config, path: &str, wanted: Value) {
    let until = Instant::now() + PATIENCE;
    while config.get::<Value>(path).ok().as_ref() != Some(&wanted) {
        let now = config.get::<Value>(path);
        assert!(Instant::now() < until, "{path} is {now:?} and never {wanted}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until the only source is well, or is not.
pub async fn until_well(config: &Config, well: bool) {
    let until = Instant::now() + PATIENCE;
    while config.sources()[0].state.is_ready() != well {
        assert!(Instant::now() < until, "{:?}", config.sources());
        sleep(Duration::from_millis(10)).await;
    }
}

/// What documents say, each with its path.
pub fn texts(documents: &[Document]) -> Vec<(String, String)> {
    let told = |document: &Document| {
        let text = match &document.content {
            Content::Text { text, .. } => text.clone(),
            Content::Value(value) => value.to_string(),
        };
        (document.path.join("."), text)
    };
    documents.iter().map(told).collect()
}
