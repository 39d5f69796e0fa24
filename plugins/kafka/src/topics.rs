//! Topics: which names Kafka allows, and that they are there.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use micro_core::{Result, Text};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::oneshot;

use crate::config::NewTopics;
use crate::context::{Asking, code, is_about_rights};
use crate::error;
use crate::publisher::Producer;

/// How long one question to the servers may take, so that who asks can be told to stop.
const QUESTION: Duration = Duration::from_millis(500);
/// How often to look whether a new topic is ready.
const PAUSE: Duration = Duration::from_millis(10);
/// How many topics are remembered to exist.
const MAX_KNOWN: usize = 16_384;

/// Fails where Kafka allows no topic of that name.
pub(crate) fn check(topic: &str) -> Result<()> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let has_length = (1..=249).contains(&topic.len());
    if has_length && !matches!(topic, "." | "..") && topic.bytes().all(is_allowed) {
        Ok(())
    } else {
        Err(error::no_topic(topic))
    }
}

/// The topics that are known to exist.
pub(crate) struct Topics {
    known: RwLock<HashSet<Text>>,
    /// Whose turn it is to look for a topic, as long as somebody does.
    turns: Mutex<HashMap<Text, Weak<tokio::sync::Mutex<()>>>>,
    settings: Settings,
}

#[derive(Clone)]
struct Settings {
    client: ClientConfig,
    create: Option<NewTopics>,
    servers: String,
    patience: Duration,
}

impl Topics {
    pub(crate) fn new(
        client: ClientConfig,
        create: Option<NewTopics>,
        servers: String,
        patience: Duration,
    ) -> Self {
        Self {
            known: RwLock::default(),
            turns: Mutex::default(),
            settings: Settings {
                client,
                create,
                servers,
                patience,
            },
        }
    }

    pub(crate) fn is_known(&self, topic: &str) -> bool {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(topic)
    }

    /// It may be gone.
    pub(crate) fn forget(&self, topic: &str) {
        self.known
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(topic);
    }

    /// Sees to it that a topic exists, unless it is known to. Publishers that begin together ask once; those to other
    /// topics do not wait for them.
    pub(crate) async fn ensure_once(&self, topic: &str, producer: Arc<Producer>) -> Result<()> {
        let turn = self.turn(topic);
        let _turn = turn.lock().await;
        if !self.is_known(topic) {
            self.ensure(topic, producer).await?;
        }
        Ok(())
    }

    fn turn(&self, topic: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(topic).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(topic.into(), Arc::downgrade(&turn));
        turn
    }

    /// Sees to it that a topic exists, and returns how many partitions it has. Asks the servers each time.
    pub(crate) async fn ensure(&self, topic: &str, producer: Arc<Producer>) -> Result<i32> {
        let (answer, answered) = oneshot::channel();
        let (settings, name) = (self.settings.clone(), topic.to_owned());
        tokio::task::spawn_blocking(move || settings.ensure(&name, &producer, answer));
        let dropped = |_| {
            error::late(
                format!("looking for the topic {topic:?}"),
                &self.settings.servers,
                QUESTION,
                None,
            )
        };
        let partitions = answered.await.map_err(dropped)??;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(topic.into());
        Ok(partitions)
    }
}

impl Settings {
    /// Answers as soon as the topic is there, or cannot be had. Gives up when nobody waits for the answer any more.
    fn ensure(&self, topic: &str, producer: &Producer, answer: oneshot::Sender<Result<i32>>) {
        let until = Instant::now() + self.patience;
        let mut admin = None;
        let found = loop {
            if answer.is_closed() {
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            let problem = match self.look(topic, producer, left.min(QUESTION)) {
                Ok(partitions) => break Ok(partitions),
                Err(problem) => problem,
            };
            let problem = match (problem, self.create) {
                (Code::UnknownTopicOrPartition, Some(new)) if admin.is_none() => {
                    match self.create(topic, new) {
                        Ok(created) => {
                            admin = Some(created);
                            continue;
                        }
                        Err(problem) => problem,
                    }
                }
                (problem, _) => problem,
            };
            let is_final = is_about_rights(problem)
                || matches!(
                    problem,
                    Code::InvalidReplicationFactor
                        | Code::InvalidPartitions
                        | Code::InvalidTopic
                        | Code::PolicyViolation
                );
            if is_final || left.is_zero() {
                let what = format!("looking for the topic {topic:?}");
                break Err(error::failed(what, &self.servers, problem, producer.reason()));
            }
            pause();
        };
        // Closing what made the topic takes a while, for which nobody waits.
        let _ = answer.send(found);
    }

    /// How many partitions a topic has that is ready.
    fn look(&self, topic: &str, producer: &Producer, within: Duration) -> std::result::Result<i32, Code> {
        let client = producer.client();
        let metadata = client
            .fetch_metadata(Some(topic), within)
            .map_err(|problem| code(&problem))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let found = found.ok_or(Code::UnknownTopicOrPartition)?;
        if let Some(problem) = found.error() {
            return Err(problem.into());
        }
        let is_led = found.partitions().iter().all(|partition| partition.leader() >= 0);
        match found.partitions().len() {
            0 => Err(Code::UnknownTopicOrPartition),
            _ if !is_led => Err(Code::LeaderNotAvailable),
            count => Ok(i32::try_from(count).unwrap_or(i32::MAX)),
        }
    }

    /// Makes a topic. Somebody else may do so at the same time.
    fn create(&self, topic: &str, new: NewTopics) -> std::result::Result<AdminClient<Asking>, Code> {
        let failed = |problem: KafkaError| code(&problem);
        let admin: AdminClient<Asking> = self
            .client
            .create_with_context(Asking::default())
            .map_err(failed)?;
        let number = |chosen: Option<u16>| chosen.map_or(-1, i32::from);
        let topics = [NewTopic::new(
            topic,
            number(new.partitions),
            TopicReplication::Fixed(number(new.replication)),
        )];
        let options = AdminOptions::new().request_timeout(Some(self.patience));
        let made = futures_util::future::FutureExt::boxed(admin.create_topics(&topics, &options));
        for result in blocking(made).map_err(failed)? {
            match result {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((_, problem)) => return Err(problem),
            }
        }
        Ok(admin)
    }
}

#[expect(clippy::disallowed_methods, reason = "runs where blocking is allowed")]
fn pause() {
    std::thread::sleep(PAUSE);
}

/// Waits for a future of librdkafka, which its own thread completes.
fn blocking<T>(future: impl Future<Output = T>) -> T {
    futures_util::pin_mut!(future);
    let waker = std::task::Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = std::task::Context::from_waker(&waker);
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::park();
    }
}

struct Unpark(std::thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kafka_does_not_allow_are_refused_by_name() {
        for topic in ["a", "UPPER.lower-1_2", "...", &"x".repeat(249)] {
            assert!(check(topic).is_ok(), "{topic}");
        }
        for topic in [
            "",
            ".",
            "..",
            "with space",
            "slash/colon:",
            "grüße",
            "*",
            &"x".repeat(250),
        ] {
            let error = check(topic).unwrap_err();
            assert!(error.detail().contains(&format!("{topic:?}")), "{error}");
        }
    }
}
