//! What this process has registered, and the task that answers for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::Subscriber;
use async_nats::client::PublishErrorKind;
use bytes::Bytes;
use futures_util::StreamExt;
use micro_core::Result;
use micro_core::registry::{Action, Node, ServiceRecord};
use micro_nats_connection::NatsConnection;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::config::NatsRegistryConfig;
use crate::error;
use crate::message::{Question, read_question, write_change, write_record};

/// Service, version and node.
pub(crate) type Key = (String, String, String);

pub(crate) fn key(service: &ServiceRecord, node: &Node) -> Key {
    (service.name.clone(), service.version.clone(), node.id.clone())
}

#[derive(Default)]
pub(crate) struct Own {
    state: Mutex<State>,
    /// For the task: look anew when the next record lapses.
    pub(crate) look: Notify,
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<Key, Registered>,
    /// The answers to questions for a service, until something changes there.
    answers: HashMap<String, Arc<[Bytes]>>,
}

/// A record of one node.
pub(crate) struct Registered {
    pub(crate) record: ServiceRecord,
    pub(crate) lapses: Option<Instant>,
}

impl Own {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts nodes, and returns those of them that were not there.
    pub(crate) fn put(&self, nodes: Vec<(Key, Registered)>) -> Vec<Key> {
        let mut state = self.lock();
        let mut new = Vec::new();
        for (key, node) in nodes {
            state.answers.remove(&key.0);
            if state.nodes.insert(key.clone(), node).is_none() {
                new.push(key);
            }
        }
        drop(state);
        self.look.notify_one();
        new
    }

    /// Takes nodes out, and returns what was there.
    pub(crate) fn take<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) -> Vec<ServiceRecord> {
        let mut state = self.lock();
        let mut gone = Vec::new();
        for key in keys {
            state.answers.remove(&key.0);
            gone.extend(state.nodes.remove(key).map(|node| node.record));
        }
        gone
    }

    pub(crate) fn take_all(&self) -> Vec<ServiceRecord> {
        let mut state = self.lock();
        state.answers.clear();
        let nodes = std::mem::take(&mut state.nodes);
        nodes.into_values().map(|node| node.record).collect()
    }

    fn take_lapsed(&self, now: Instant) -> Vec<ServiceRecord> {
        let lapsed: Vec<Key> = {
            let state = self.lock();
            let lapsed = state.nodes.iter();
            let lapsed = lapsed.filter(|(_, node)| node.lapses.is_some_and(|lapses| lapses <= now));
            lapsed.map(|(key, _)| key.clone()).collect()
        };
        self.take(&lapsed)
    }

    fn next_lapse(&self) -> Option<Instant> {
        self.lock().nodes.values().filter_map(|node| node.lapses).min()
    }

    /// The records to answer with, as bytes, one a version or several where they are large.
    fn answers(&self, question: &Question, limit: usize) -> Vec<Bytes> {
        let mut state = self.lock();
        match question {
            Question::Get(name) => state.answers_for(name, limit).to_vec(),
            Question::List => {
                let mut names: Vec<String> = state.nodes.keys().map(|key| key.0.clone()).collect();
                names.dedup();
                let answers = names
                    .iter()
                    .flat_map(|name| state.answers_for(name, limit).to_vec());
                answers.collect()
            }
        }
    }
}

impl State {
    fn answers_for(&mut self, name: &str, limit: usize) -> Arc<[Bytes]> {
        if let Some(known) = self.answers.get(name) {
            return known.clone();
        }
        let first = (name.to_owned(), String::new(), String::new());
        let nodes = self.nodes.range(first..).take_while(|(key, _)| key.0 == name);
        let mut answers = Vec::new();
        for record in ServiceRecord::merge_versions(nodes.map(|(_, node)| node.record.clone())) {
            write_whole_or_parts(&record, limit, &mut answers);
        }
        let answers: Arc<[Bytes]> = answers.into();
        if !answers.is_empty() {
            self.answers.insert(name.to_owned(), answers.clone());
        }
        answers
    }
}

/// Writes a record, or its halves where it is larger than the server takes: who reads them puts them together.
fn write_whole_or_parts(record: &ServiceRecord, limit: usize, out: &mut Vec<Bytes>) {
    let Ok(written) = write_record(record) else {
        return;
    };
    if written.len() <= limit || record.nodes.len() < 2 {
        out.push(written);
        return;
    }
    let (front, back) = record.nodes.split_at(record.nodes.len() / 2);
    for half in [front, back] {
        write_whole_or_parts(&record.with_nodes(half.to_vec()), limit, out);
    }
}

/// A record and what is said of it, for each node of a registration. All fit, or none is taken.
pub(crate) fn single_nodes(service: &ServiceRecord, limit: usize) -> Result<Vec<(Key, ServiceRecord)>> {
    let mut nodes = Vec::new();
    for node in &service.nodes {
        let record = service.with_nodes(vec![node.clone()]);
        let bytes = write_change(Action::Create, &record)?.len();
        if bytes > limit {
            return Err(error::too_large(&service.name, &node.id, bytes, limit));
        }
        nodes.push((key(service, node), record));
    }
    Ok(nodes)
}

/// What is said of a change, in one message or several where it is large.
pub(crate) fn said_of(
    action: Action,
    record: &ServiceRecord,
    limit: usize,
    out: &mut Vec<Bytes>,
) -> Result<()> {
    let written = write_change(action, record)?;
    if written.len() <= limit || record.nodes.len() < 2 {
        out.push(written);
        return Ok(());
    }
    let (front, back) = record.nodes.split_at(record.nodes.len() / 2);
    for half in [front, back] {
        said_of(action, &record.with_nodes(half.to_vec()), limit, out)?;
    }
    Ok(())
}

/// Answers questions, and takes out what lapses.
pub(crate) async fn answer(
    own: Arc<Own>,
    connection: NatsConnection,
    config: NatsRegistryConfig,
    mut questions: Subscriber,
) {
    loop {
        tokio::select! {
            question = questions.next() => {
                let Some(message) = question else { return };
                let (Some(reply), Some(question)) = (message.reply, read_question(&message.payload)) else {
                    continue;
                };
                let client = connection.client();
                for answer in own.answers(&question, client.max_payload()) {
                    match client.publish(reply.clone(), answer).await {
                        Err(problem) if problem.kind() == PublishErrorKind::Send => return,
                        // Too large for a server that takes less than the former one: others may fit.
                        Err(problem) => tracing::debug!("an answer is left out: {problem}"),
                        Ok(()) => {}
                    }
                }
            }
            () = lapse(own.next_lapse()) => {
                for record in own.take_lapsed(Instant::now()) {
                    if let Ok(said) = write_change(Action::Delete, &record) {
                        let _ = connection.client().publish(config.watch_subject.clone(), said).await;
                    }
                }
            }
            () = own.look.notified() => {}
        }
    }
}

async fn lapse(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_too_large_for_a_message_is_answered_in_parts() {
        let own = Own::default();
        let service = ServiceRecord::new("greeter", "1").with_nodes(
            (0..100)
                .map(|number| Node::new(format!("node-{number:03}"), "192.0.2.1:9100"))
                .collect(),
        );
        let nodes = single_nodes(&service, 1000).unwrap();
        own.put(
            nodes
                .into_iter()
                .map(|(key, record)| (key, Registered { record, lapses: None }))
                .collect(),
        );
        let answers = own.answers(&Question::List, 1000);
        assert!(answers.len() > 5 && answers.iter().all(|answer| answer.len() <= 1000));
        let read = answers
            .iter()
            .filter_map(|answer| crate::message::read_record(answer));
        let read = ServiceRecord::merge_versions(read);
        assert_eq!(read[0].nodes.len(), 100);
        assert!(
            single_nodes(&service, 50)
                .unwrap_err()
                .detail()
                .contains("greeter")
        );
        assert!(own.answers(&Question::Get("greet".into()), 1000).is_empty());
    }
}
