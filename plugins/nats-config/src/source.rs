//! Reading and following keys.

use std::fmt;
use std::future::pending;
use std::time::Duration;

use async_trait::async_trait;
use micro_config::{Document, Error, ErrorKind, Result, Source};
use micro_nats_connection::{Health, NatsConnection};
use tokio::time::{Instant, sleep_until, timeout};

use crate::bucket::{self, Follower};
use crate::config::{Keys, NatsSourceConfig};
use crate::entry::documents;
use crate::error::{self, ROLE};

/// How often to look whether a bucket is there by now.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Configuration from a key of a JetStream bucket or from many, followed live.
///
/// It connects when it is read, so that a server that is away is an error of reading. It has no task of its own but that
/// of its connection, which ends with it.
pub struct NatsSource {
    config: NatsSourceConfig,
    keys: Keys,
    connection: Option<NatsConnection>,
    state: State,
}

/// What is known since the last reading.
enum State {
    /// Nothing: it failed, or there was none.
    Unread,
    /// What came since is in the follower.
    Followed { follower: Follower, losses: u64 },
    /// There was no bucket.
    Absent { look: Instant, losses: u64 },
    /// There may be something else by now.
    Changed,
}

impl NatsSource {
    /// A source that has not connected yet.
    ///
    /// # Errors
    ///
    /// Of the kind [`Misused`](ErrorKind::Misused), when no bucket or no key is called so.
    pub fn new(config: NatsSourceConfig) -> Result<Self> {
        Ok(Self {
            keys: config.keys()?,
            config,
            connection: None,
            state: State::Unread,
        })
    }

    /// The connection, when it is there.
    async fn connected(&mut self) -> Result<NatsConnection> {
        let connection = match &self.connection {
            Some(connection) => connection.clone(),
            None => {
                let connected = NatsConnection::connect(&self.config.servers, ROLE).await;
                self.connection.insert(connected.map_err(error::told)?).clone()
            }
        };
        connection.up().await;
        Ok(connection)
    }

    async fn look(&mut self) -> Result<Vec<Document>> {
        let connection = self.connected().await?;
        let losses = connection.losses();
        tokio::select! {
            look = self.find(&connection, losses) => look,
            refused = refused(&connection) => {
                // What is refused may be granted by now, which only another connection would tell.
                self.connection = None;
                Err(refused)
            }
            () = connection.lost(losses) => Err(error::told(connection.gone())),
        }
    }

    async fn find(&mut self, connection: &NatsConnection, losses: u64) -> Result<Vec<Document>> {
        let bucket = &self.config.bucket;
        let missing = |what: fmt::Arguments<'_>, advice: &str| {
            let servers = connection.servers();
            Err(Error::new(
                ErrorKind::Missing,
                format_args!("there is no {what} at NATS at {servers}; {advice}"),
            ))
        };
        let Some(stream) = bucket::find(connection, bucket, self.config.request_timeout).await? else {
            let look = Instant::now() + LOOK_EVERY;
            self.state = State::Absent { look, losses };
            return missing(
                format_args!("bucket {bucket}"),
                "`nats kv add` makes one, and it is read as soon as it is there",
            );
        };
        let (follower, entries) = Follower::begin(connection, &stream, &self.keys, bucket).await?;
        self.state = State::Followed { follower, losses };
        match documents(&self.keys, &entries, self.config.format, bucket)? {
            Some(documents) => Ok(documents),
            None => missing(
                format_args!("{} in the bucket {bucket}", self.keys),
                "`nats kv put` writes one",
            ),
        }
    }
}

#[async_trait]
impl Source for NatsSource {
    async fn read(&mut self) -> Result<Vec<Document>> {
        self.state = State::Unread;
        let patience = self.config.request_timeout;
        let read = match timeout(patience, self.look()).await {
            Ok(read) => read,
            Err(_) => Err(match &self.connection {
                Some(connection) if !connection.is_up() => error::told(connection.gone()),
                connection => {
                    let servers = connection.as_ref().map_or("", NatsConnection::servers);
                    Error::new(
                        ErrorKind::Unavailable,
                        format_args!(
                            "NATS {servers} did not answer within {patience:?}; is it overloaded or cut off?"
                        ),
                    )
                }
            }),
        };
        read.map_err(|problem| problem.context(&*self))
    }

    async fn changed(&mut self) -> Result<()> {
        let Some(connection) = self.connection.clone() else {
            // Only reading helps.
            return pending().await;
        };
        let told = match &mut self.state {
            State::Unread if connection.is_up() => return pending().await,
            State::Unread => {
                connection.up().await;
                return Ok(());
            }
            State::Changed => return Ok(()),
            State::Followed { follower, losses } => {
                tokio::select! {
                    biased;
                    () = connection.lost(*losses) => Err(error::told(connection.gone())),
                    next = follower.next(&connection, &self.config.bucket) => next,
                }
            }
            State::Absent { look, losses } => {
                tokio::select! {
                    biased;
                    () = connection.lost(*losses) => Err(error::told(connection.gone())),
                    found = appears(&connection, &self.config, look) => found,
                }
            }
        };
        self.state = match &told {
            Ok(()) => State::Changed,
            Err(_) => State::Unread,
        };
        told.map_err(|problem| problem.context(&*self))
    }
}

/// Waits until the bucket is there. May be cancelled.
async fn appears(connection: &NatsConnection, config: &NatsSourceConfig, look: &mut Instant) -> Result<()> {
    loop {
        sleep_until(*look).await;
        *look = Instant::now() + LOOK_EVERY;
        let found = bucket::find(connection, &config.bucket, config.request_timeout).await?;
        if found.is_some() {
            return Ok(());
        }
    }
}

/// Waits until the server refuses what is asked.
async fn refused(connection: &NatsConnection) -> Error {
    let mut health = connection.health();
    let refused =
        |health: &Health| !(health.refused_to_publish.is_empty() && health.refused_to_subscribe.is_empty());
    let told = health.wait_for(refused).await;
    let told = told
        .map(|health| error::refused(connection.servers(), &health))
        .ok();
    match told {
        Some(told) => told,
        None => pending().await,
    }
}

impl fmt::Display for NatsSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "nats {}/{}", self.config.bucket, self.config.key)
    }
}

impl fmt::Debug for NatsSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NatsSource")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
