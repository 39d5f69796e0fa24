//! Calls that go on and on, and what became of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use micro::Client;
use micro::client::CallOptions;
use tokio::task::JoinHandle;

use crate::network::until;

/// A caller of `Peer.Who`. Stops when dropped.
pub(crate) struct Calls {
    answers: Arc<Mutex<Answers>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Answers {
    /// How often each node has answered: its version and id.
    by_node: BTreeMap<String, usize>,
    failures: Vec<String>,
}

impl Calls {
    /// Calls every 5 ms, one call after the other.
    pub(crate) fn begin(client: Client, service: &str) -> Self {
        let answers = Arc::new(Mutex::new(Answers::default()));
        let (noted, service) = (answers.clone(), service.to_owned());
        let task = tokio::spawn(async move {
            loop {
                let answered = who(&client, &service, CallOptions::default()).await;
                {
                    let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                    match answered {
                        Ok(node) => *noted.by_node.entry(node).or_default() += 1,
                        Err(error) => noted.failures.push(error.to_string()),
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self { answers, task }
    }

    fn count(&self, node: &str) -> usize {
        let answers = self.answers.lock().unwrap();
        answers.by_node.get(node).copied().unwrap_or_default()
    }

    fn failures(&self) -> Vec<String> {
        self.answers.lock().unwrap().failures.clone()
    }

    /// Waits until a node has answered twenty times from now on.
    pub(crate) async fn until_answered_by(&self, node: &str) {
        let before = self.count(node);
        until(
            &format!("{node} is called; failures: {:?}", self.failures()),
            || async { self.count(node) >= before + 20 },
        )
        .await;
    }

    /// No call failed, and there were some.
    pub(crate) fn assert_none_failed(&self) {
        let answers = self.answers.lock().unwrap();
        assert!(
            answers.failures.is_empty() && !answers.by_node.is_empty(),
            "{answers:?}"
        );
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Which node answers.
pub(crate) async fn who(client: &Client, service: &str, options: CallOptions) -> micro::Result<String> {
    client
        .with_options(options)
        .call_plain(service, "Peer.Who", ())
        .await
}
