//! What tests wait for.

use std::future::Future;
use std::time::Duration;

use micro_config::{Config, Error, Source, SourceState};
use micro_kubernetes_config::KubernetesSource;
pub(crate) use micro_testkit::config::by_hand::follow;
use micro_testkit::config::by_hand::texts;
use tokio::time::timeout;

/// Long enough for an API server that starts on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("it happens in time")
}

/// The texts and values that are read, each with its path.
pub(crate) async fn read(source: &mut KubernetesSource) -> Vec<(String, String)> {
    texts(&soon(source.read()).await.unwrap())
}

pub(crate) async fn failure(source: &mut KubernetesSource) -> Error {
    soon(source.read()).await.expect_err("reading fails")
}

/// Waits until the first source is in a state.
pub(crate) async fn until(config: &Config, is_so: impl Fn(&SourceState) -> bool) {
    let waiting = async {
        while !is_so(&config.sources()[0].state) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(waiting).await;
}
