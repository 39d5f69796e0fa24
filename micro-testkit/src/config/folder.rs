//! What a source of the keys of a folder lives through at a server of the test's own, which is killed and comes back.
//!
//! ```ignore
//! micro_testkit::folder_conformance!(Shop::start);
//! ```
//!
//! where `Shop` is a [`Folder`]. The [cases of all sources](super) have one key at a server that others use too; these
//! are beside them.

#![allow(clippy::unwrap_used, reason = "the cases panic when they fail, as tests do")]

use std::net::SocketAddr;
use std::time::Duration;

use micro_config::{Config, ErrorKind, Source, async_trait};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::by_hand::{PATIENCE, follow, next, until, until_well};
use crate::proxy::Proxy;

/// A server of one's own, and a folder of it. All of it panics when it does not succeed, as tests do.
#[async_trait]
pub trait Folder: Send + Sync + 'static {
    /// Where the server is.
    fn address(&self) -> SocketAddr;

    /// A source of the folder's keys that asks the server at these addresses, of which one may be away.
    fn source(&self, addresses: &[SocketAddr]) -> Box<dyn Source>;

    /// Puts a value at a key of the folder, such as `a` or `b/c`.
    async fn put(&self, key: &str, value: &str);

    /// Deletes a key of the folder.
    async fn delete(&self, key: &str);

    /// Lets the server forget what happened up to now, where it remembers that.
    async fn forget_history(&self) {}

    /// Kills the server.
    async fn kill(&mut self);

    /// Starts it again with its data, if it keeps them.
    async fn start_again(&mut self);

    /// Starts it as if it had never been there.
    async fn start_empty(&mut self);
}

/// Makes one test of each case for a source of a folder's keys.
///
/// Takes an async function that starts a server for a [`Folder`](crate::config::folder::Folder): with `None` there is none
/// on this machine, and the case is left out.
#[macro_export]
macro_rules! folder_conformance {
    ($start:expr $(,)?) => {
        $crate::__folder_cases!($start;
            a_change_is_seen_within_a_second
            keys_come_and_go
            a_folder_that_has_no_key_yet_may_get_one_and_lose_it
            a_change_while_nobody_waits_is_not_missed
            the_last_good_stays_during_an_outage_and_what_changed_is_seen_after_it
            a_server_without_its_data_leaves_the_last_good_until_there_is_something
            a_server_that_is_away_is_left_for_the_next
            a_server_that_is_not_there_yet_is_waited_for_by_who_does_not_need_it
        );
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __folder_cases {
    ($start:expr; $($case:ident)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                if let Some(folder) = $start().await {
                    $crate::config::folder::$case(folder).await;
                }
            }
        )*
    };
}

fn source(folder: &impl Folder) -> Box<dyn Source> {
    folder.source(&[folder.address()])
}

#[doc(hidden)]
pub async fn a_change_is_seen_within_a_second(folder: impl Folder) {
    const CHANGES: u32 = 10;
    folder.put("database/size", "0").await;
    let config = follow(source(&folder)).await;
    let mut watch = config.watch::<Value>("database.size");
    let mut longest = Duration::ZERO;
    for size in 1..=CHANGES {
        let put = Instant::now();
        folder.put("database/size", &size.to_string()).await;
        assert_eq!(next(&mut watch).await, json!(size));
        longest = longest.max(put.elapsed());
    }
    println!("from a put to the watch's value: at most {longest:?} of {CHANGES}, 100 ms of it debouncing");
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}

#[doc(hidden)]
pub async fn keys_come_and_go(folder: impl Folder) {
    folder.put("a", "1").await;
    let config = follow(source(&folder)).await;
    let mut watch = config.watch::<Value>("");
    folder.put("b/c", r#"{"d": 2}"#).await;
    assert_eq!(next(&mut watch).await, json!({"a": 1, "b": {"c": {"d": 2}}}));
    folder.delete("a").await;
    assert_eq!(next(&mut watch).await, json!({"b": {"c": {"d": 2}}}));
    folder.put("b/c", "{").await;
    until_well(&config, false).await;
    assert!(config.refused().unwrap().error.to_string().contains("b/c"));
    assert_eq!(config.get::<u8>("b.c.d").unwrap(), 2, "the last good stays");
    folder.put("b/c", r#"{"d": 3}"#).await;
    assert_eq!(next(&mut watch).await, json!({"b": {"c": {"d": 3}}}));
}

#[doc(hidden)]
pub async fn a_folder_that_has_no_key_yet_may_get_one_and_lose_it(folder: impl Folder) {
    let config = optional(source(&folder)).await;
    let put = Instant::now();
    folder.put("a", "1").await;
    until(&config, "a", json!(1)).await;
    println!("from the first put of all to its value: {:?}", put.elapsed());
    folder.delete("a").await;
    until_well(&config, false).await;
    says(&config, 1);
    folder.put("a", "2").await;
    until(&config, "a", json!(2)).await;
}

#[doc(hidden)]
pub async fn a_change_while_nobody_waits_is_not_missed(folder: impl Folder) {
    folder.put("a", "1").await;
    let mut source = source(&folder);
    source.read().await.unwrap();
    folder.put("a", "2").await;
    timeout(PATIENCE, source.changed()).await.unwrap().unwrap();
    source.read().await.unwrap();
    // A wait that is dropped goes on.
    let waited = timeout(Duration::from_millis(200), source.changed()).await;
    assert!(waited.is_err(), "nothing changed");
    folder.put("a", "3").await;
    timeout(PATIENCE, source.changed()).await.unwrap().unwrap();
    let origin = source.read().await.unwrap().swap_remove(0).origin;
    assert!(origin.ends_with("/a"), "{origin}");
}

#[doc(hidden)]
pub async fn the_last_good_stays_during_an_outage_and_what_changed_is_seen_after_it(folder: impl Folder) {
    let mut proxy = Proxy::open(folder.address()).await.unwrap();
    folder.put("a", "1").await;
    let config = follow(folder.source(&[proxy.address()])).await;
    for value in 2..5 {
        proxy.cut().await;
        folder.put("a", &value.to_string()).await;
        folder.forget_history().await;
        until_well(&config, false).await;
        says(&config, value - 1);
        let error = config.sources()[0].state.error().unwrap().clone();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        let address = proxy.address().to_string();
        assert!(error.to_string().contains(&address), "{error}");
        proxy.mend().await.unwrap();
        let mended = Instant::now();
        until(&config, "a", json!(value)).await;
        println!("back after an outage: {:?}", mended.elapsed());
        until_well(&config, true).await;
    }
}

#[doc(hidden)]
pub async fn a_server_without_its_data_leaves_the_last_good_until_there_is_something(
    mut folder: impl Folder,
) {
    folder.put("a", "1").await;
    let config = follow(source(&folder)).await;
    folder.kill().await;
    until_well(&config, false).await;
    folder.start_empty().await;
    let deadline = Instant::now() + PATIENCE;
    while config.sources()[0].state.error().map(micro_config::Error::kind) != Some(ErrorKind::Missing) {
        assert!(Instant::now() < deadline, "{:?}", config.sources());
        sleep(Duration::from_millis(20)).await;
    }
    says(&config, 1);
    folder.put("a", "2").await;
    until(&config, "a", json!(2)).await;
}

#[doc(hidden)]
pub async fn a_server_that_is_away_is_left_for_the_next(folder: impl Folder) {
    let mut proxy = Proxy::open(folder.address()).await.unwrap();
    folder.put("a", "1").await;
    let of_two = || folder.source(&[proxy.address(), folder.address()]);
    let sources = [of_two(), of_two()];
    let [first, second] = sources;
    let config = follow(first).await;
    proxy.cut().await;
    folder.put("a", "2").await;
    until(&config, "a", json!(2)).await;
    follow(second).await;
}

#[doc(hidden)]
pub async fn a_server_that_is_not_there_yet_is_waited_for_by_who_does_not_need_it(mut folder: impl Folder) {
    folder.kill().await;
    let config = optional(source(&folder)).await;
    let error = config.sources()[0].state.error().unwrap().clone();
    assert!(error.to_string().contains("is it running"), "{error}");
    folder.start_again().await;
    folder.put("a", "1").await;
    until(&config, "a", json!(1)).await;
}

async fn optional(source: Box<dyn Source>) -> Config {
    Config::builder().optional(source).build().await.unwrap()
}

fn says(config: &Config, last_good: u32) {
    assert_eq!(config.get::<u32>("a").unwrap(), last_good, "the last good stays");
}
