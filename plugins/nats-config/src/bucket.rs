//! A bucket at the server: what it holds, and what comes after.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, push};
use async_nats::jetstream::context::{GetStreamErrorKind, RequestErrorKind};
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{Message, Subscriber};
use futures_util::StreamExt;
use micro_config::{Error, ErrorKind, Result};
use micro_nats_connection::NatsConnection;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::config::Keys;
use crate::entry::{Entries, is_removal};
use crate::error;

/// How often the server gives a sign of life where there is no news …
const HEARTBEAT: Duration = Duration::from_secs(2);
/// … and after how long without one the bucket is believed to be another, or gone.
const SILENCE: Duration = Duration::from_secs(5);
/// How long the server remembers a consumer that nobody listens to.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);
/// How long to wait for what should still come, when as much came as there was at the beginning: of a value that is put
/// while the consumer is made, the server may announce one more than there is.
const OVERDUE: Duration = Duration::from_millis(250);
/// How often to read again, because nobody is told of what lapses and of a stream that is emptied.
const READ_AGAIN: Duration = Duration::from_secs(60);
/// How many keys, and how many bytes of values, are configuration.
const MOST_KEYS: u64 = 10_000;
const MOST_BYTES: usize = 64 * 1024 * 1024;

const ADVICE: &str = "is JetStream on (nats-server -js), and may this user use its API?";

/// Listens to what happens to keys, from when they were read on.
pub(crate) struct Follower {
    subscriber: Subscriber,
    heard: Instant,
    read_again: Instant,
}

/// The stream that keeps a bucket. None: there is no such bucket.
pub(crate) async fn find(
    connection: &NatsConnection,
    bucket: &str,
    patience: Duration,
) -> Result<Option<Stream>> {
    let mut context = jetstream::new(connection.client().clone());
    context.set_timeout(patience);
    let problem = match context.get_stream(format!("KV_{bucket}")).await {
        Ok(stream) => return Ok(Some(stream)),
        Err(problem) => problem,
    };
    if let GetStreamErrorKind::JetStream(said) = problem.kind()
        && said.error_code() == ErrorCode::STREAM_NOT_FOUND
    {
        return Ok(None);
    }
    let cause = std::error::Error::source(&problem);
    let request = cause.and_then(|cause| cause.downcast_ref::<jetstream::context::RequestError>());
    let what = match request.map(|request| request.kind()) {
        Some(RequestErrorKind::NoResponders) => "nobody answers there".to_owned(),
        Some(RequestErrorKind::TimedOut) => format!("no answer within {patience:?}"),
        _ => problem.to_string(),
    };
    Err(error::jetstream(
        connection.servers(),
        format_args!("the bucket {bucket}: {what}"),
        ADVICE,
    ))
}

impl Follower {
    /// Reads the keys, and listens from there on.
    pub(crate) async fn begin(
        connection: &NatsConnection,
        stream: &Stream,
        keys: &Keys,
        bucket: &str,
    ) -> Result<(Self, Entries)> {
        let prefix = prefix(stream, bucket);
        let filter = match keys {
            Keys::One(key) => format!("{prefix}{key}"),
            Keys::Below(below) => format!("{prefix}{below}>"),
        };
        let client = connection.client();
        let inbox = client.new_inbox();
        let subscriber = client.subscribe(inbox.clone()).await;
        let mut subscriber = subscriber.map_err(|_| error::told(connection.gone()))?;
        let wanted = push::Config {
            // Of one with a name, the server is asked at a subject that rights can be given to by key.
            name: Some(connection.unique()),
            deliver_subject: inbox,
            deliver_policy: DeliverPolicy::LastPerSubject,
            ack_policy: AckPolicy::None,
            filter_subject: filter,
            idle_heartbeat: HEARTBEAT,
            inactive_threshold: FORGOTTEN_AFTER,
            memory_storage: true,
            ..push::Config::default()
        };
        let consumer = match stream.create_consumer(wanted).await {
            Ok(consumer) => consumer,
            Err(problem) => {
                return Err(error::jetstream(
                    connection.servers(),
                    format_args!("the consumer of the bucket {bucket}: {problem}"),
                    ADVICE,
                ));
            }
        };
        let info = consumer.cached_info();
        // Some may be on their way already.
        let pending = info.num_pending + info.delivered.consumer_sequence;
        let mut reading = Reading::new(&prefix, bucket, pending)?;
        while reading.pending > 0 {
            let wait = if reading.has_enough() { OVERDUE } else { SILENCE };
            let message = match timeout(wait, subscriber.next()).await {
                Ok(Some(message)) => message,
                Ok(None) => return Err(error::told(connection.gone())),
                Err(_) if reading.has_enough() => break,
                Err(_) => return Err(ended(connection, bucket, "it is silent")),
            };
            if is_news(&message).map_err(|why| ended(connection, bucket, &why))? {
                reading.take(&message)?;
            }
        }
        let now = Instant::now();
        let follower = Self {
            subscriber,
            heard: now,
            read_again: now + READ_AGAIN,
        };
        Ok((follower, reading.entries))
    }

    /// Waits until there is something new. May be cancelled.
    ///
    /// # Errors
    ///
    /// When something may have been missed.
    pub(crate) async fn next(&mut self, connection: &NatsConnection, bucket: &str) -> Result<()> {
        loop {
            let until = self.heard + SILENCE;
            let message = tokio::select! {
                biased;
                message = timeout_at(until, self.subscriber.next()) => message,
                () = sleep_until(self.read_again) => return Ok(()),
            };
            let message = match message {
                Ok(Some(message)) => message,
                Ok(None) => return Err(error::told(connection.gone())),
                Err(_) => return Err(ended(connection, bucket, "it is silent")),
            };
            self.heard = Instant::now();
            if is_news(&message).map_err(|why| ended(connection, bucket, &why))? {
                return Ok(());
            }
        }
    }
}

/// What is read until nothing is pending.
struct Reading<'a> {
    prefix: &'a str,
    bucket: &'a str,
    /// How many were to come at the beginning, and how many came.
    expected: u64,
    came: u64,
    /// How many are still to come, as the server said last.
    pending: u64,
    bytes: usize,
    entries: Entries,
}

impl<'a> Reading<'a> {
    fn new(prefix: &'a str, bucket: &'a str, pending: u64) -> Result<Self> {
        if pending > MOST_KEYS {
            return Err(too_much(
                bucket,
                format_args!("{pending} keys, and {MOST_KEYS} is the most"),
            ));
        }
        Ok(Self {
            prefix,
            bucket,
            expected: pending,
            came: 0,
            pending,
            bytes: 0,
            entries: Entries::new(),
        })
    }

    /// Whether as many came as there were at the beginning, so that whatever else comes is news.
    fn has_enough(&self) -> bool {
        self.came >= self.expected
    }

    fn take(&mut self, message: &Message) -> Result<()> {
        self.came += 1;
        self.pending = pending(message);
        let Some(key) = message.subject.strip_prefix(self.prefix) else {
            return Ok(());
        };
        if is_removal(message.headers.as_ref()) {
            self.entries.remove(key);
            return Ok(());
        }
        self.bytes += message.payload.len();
        if self.bytes > MOST_BYTES {
            return Err(too_much(
                self.bucket,
                format_args!("more than {MOST_BYTES} bytes of values"),
            ));
        }
        self.entries.insert(key.to_owned(), message.payload.clone());
        Ok(())
    }
}

/// What subjects of a bucket begin with. A mirror keeps those of its origin.
fn prefix(stream: &Stream, bucket: &str) -> String {
    let mirror = stream.cached_info().config.mirror.as_ref();
    let origin = mirror.and_then(|mirror| mirror.name.strip_prefix("KV_"));
    format!("$KV.{}.", origin.unwrap_or(bucket))
}

/// Whether a message is one of the bucket's, and no sign of life.
///
/// # Errors
///
/// What the server says at the consumer's end.
fn is_news(message: &Message) -> std::result::Result<bool, String> {
    match message.status {
        None => Ok(true),
        Some(status) if status.as_u16() == 100 => Ok(false),
        Some(status) => {
            let said = message.description.as_deref().unwrap_or("no reason");
            Err(format!("{status} {said}"))
        }
    }
}

/// How many messages are still to come behind this one, as its reply subject says at its ninth place, or at its eleventh
/// where it has domain and account.
fn pending(message: &Message) -> u64 {
    let reply = message.reply.as_ref().map_or("", |reply| reply.as_str());
    let parts: Vec<&str> = reply.split('.').collect();
    let place = if parts.len() > 9 { 10 } else { 8 };
    parts
        .get(place)
        .and_then(|pending| pending.parse().ok())
        .unwrap_or(0)
}

fn ended(connection: &NatsConnection, bucket: &str, why: &str) -> Error {
    error::jetstream(
        connection.servers(),
        format_args!("the watch of the bucket {bucket} ended: {why}"),
        "it is read again",
    )
}

fn too_much(bucket: &str, what: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Invalid,
        format_args!(
            "the bucket {bucket} is no configuration: it holds {what}; name a key, or fewer by `name.>`"
        ),
    )
}
