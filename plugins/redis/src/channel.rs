//! A subscription to a channel, as Go Micro's Redis plugin has it: what is said while nobody listens is lost.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use micro_core::broker::{Event, EventSource, Message, Remainder, envelope};
use micro_core::{Error, Result, Text};
use redis::aio::SendError;
use redis::{AsyncConnectionConfig, ProtocolVersion, PushInfo, PushKind, Value};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::sleep;

use crate::dial::{Connection, Dialer};
use crate::error;

/// How often a connection is asked whether it still works.
const PING_EVERY: Duration = Duration::from_secs(2);

pub(crate) struct ChannelSource {
    dialer: Arc<Dialer>,
    topic: Text,
    response_timeout: Duration,
    max_pending: usize,
    connection: Option<Arc<Connection>>,
    messages: Option<mpsc::Receiver<Bytes>>,
    end: Arc<Ending>,
    /// Fails when the connection does. Goes on where it was when the future of `next` was dropped.
    watch: Option<BoxFuture<'static, Error>>,
}

/// Where the connection puts what is said, until it ends.
#[derive(Default)]
struct Ending {
    sender: Mutex<Option<mpsc::Sender<Bytes>>>,
    is_overrun: std::sync::atomic::AtomicBool,
}

impl Ending {
    fn take(&self, said: PushInfo) -> Result<(), SendError> {
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        match said.kind {
            PushKind::Message => {
                let Some(Value::BulkString(payload)) = said.data.into_iter().nth(1) else {
                    return Ok(());
                };
                let taken = sender.as_ref().map(|sender| sender.try_send(payload.into()));
                if let Some(Err(mpsc::error::TrySendError::Full(_))) = taken {
                    self.is_overrun.store(true, std::sync::atomic::Ordering::Release);
                    *sender = None;
                }
            }
            PushKind::Disconnection => *sender = None,
            _ => {}
        }
        Ok(())
    }

    fn is_overrun(&self) -> bool {
        self.is_overrun.load(std::sync::atomic::Ordering::Acquire)
    }
}

impl ChannelSource {
    pub(crate) fn new(
        dialer: Arc<Dialer>,
        topic: Text,
        response_timeout: Duration,
        max_pending: usize,
    ) -> Self {
        Self {
            dialer,
            topic,
            response_timeout,
            max_pending: max_pending.min(Semaphore::MAX_PERMITS),
            connection: None,
            messages: None,
            end: Arc::default(),
            watch: None,
        }
    }

    fn event(&self, payload: &[u8]) -> Option<Event> {
        match message(payload) {
            Ok(message) => Some(Event::new(self.topic.clone(), message)),
            Err(problem) => {
                tracing::warn!(topic = %self.topic, %problem, "what is no message was left out");
                None
            }
        }
    }
}

/// What was said on a channel, as a message.
fn message(payload: &[u8]) -> Result<Message> {
    envelope::decode(payload)
}

#[async_trait]
impl EventSource for ChannelSource {
    async fn begin(&mut self) -> Result<()> {
        self.watch = None;
        self.connection = None;
        let (sender, messages) = mpsc::channel(self.max_pending);
        let end = Arc::new(Ending {
            sender: Mutex::new(Some(sender)),
            ..Ending::default()
        });
        let said = end.clone();
        let config = AsyncConnectionConfig::new().set_push_sender(move |push| said.take(push));
        let connecting = self
            .dialer
            .dial_as(ProtocolVersion::RESP3, config, self.response_timeout);
        let connection = Arc::new(connecting.await?);
        let subscribed = connection.commands().subscribe(self.topic.as_str()).await;
        subscribed.map_err(|problem| self.dialer.failed(&problem))?;
        let (asked, dialer) = (connection.clone(), self.dialer.clone());
        self.watch = Some(Box::pin(async move {
            loop {
                sleep(PING_EVERY).await;
                if let Err(problem) = asked.ask(&redis::cmd("PING")).await {
                    return dialer.failed(&problem);
                }
            }
        }));
        self.connection = Some(connection);
        self.messages = Some(messages);
        self.end = end;
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            let Some(messages) = &mut self.messages else {
                return Ok(None);
            };
            let message = tokio::select! {
                biased;
                message = messages.recv() => message,
                problem = under_way(&mut self.watch) => return Err(problem),
            };
            match message {
                Some(payload) => match self.event(&payload) {
                    Some(event) => return Ok(Some(event)),
                    None => continue,
                },
                None if self.connection.is_none() => return Ok(None),
                None if self.end.is_overrun() => return Err(error::overrun(&self.topic, self.max_pending)),
                None => {
                    let why = "the connection ended";
                    return Err(error::unreachable(self.dialer.address(), why));
                }
            }
        }
    }

    async fn drain(&mut self) -> Result<Remainder> {
        self.watch = None;
        if let Some(connection) = self.connection.take() {
            // What was said before the answer to this has arrived by then.
            let _ = connection.commands().unsubscribe(self.topic.as_str()).await;
        }
        self.end
            .sender
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        Ok(Remainder::Arrived)
    }
}

async fn under_way(watch: &mut Option<BoxFuture<'static, Error>>) -> Error {
    match watch {
        Some(watch) => watch.await,
        None => std::future::pending().await,
    }
}
