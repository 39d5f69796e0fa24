//! What a listener is working on, and for whom.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::{Message, StatusCode, Subject};
use bytes::Bytes;
use futures_util::FutureExt;
use micro_core::{Error, Handler, Result, Text};
use micro_nats_connection::NatsConnection;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config::NatsTransportConfig;
use crate::error;
use crate::flow::Flow;
use crate::frame::{AnswerHeader, Frame};
use crate::mark::Mark;

/// How many streams that ended are remembered, so that what comes late of them opens none.
const REMEMBERED: usize = 4096;

pub(super) struct Serving {
    pub(super) connection: NatsConnection,
    pub(super) config: NatsTransportConfig,
    pub(super) handler: Arc<dyn Handler>,
    /// What subjects begin with at which NATS says that nobody hears a stream any more.
    prefix: String,
    state: Mutex<State>,
    is_draining: AtomicBool,
    /// For the task: stop listening.
    pub(super) finish: Notify,
    running: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    sockets: BTreeMap<Subject, Entry>,
    by_number: HashMap<u64, Subject>,
    next: u64,
    ended: VecDeque<Subject>,
    has_ended: BTreeSet<Subject>,
}

struct Entry {
    number: u64,
    cancel: CancellationToken,
    content_type: Text,
    id: Text,
    stream: Option<StreamEntry>,
}

struct StreamEntry {
    name: Text,
    /// None: the caller ended.
    messages: Option<mpsc::Sender<Result<Bytes>>>,
    caller_ended: Arc<AtomicBool>,
    flow: Arc<Flow>,
    limit: usize,
}

/// What was begun.
pub(super) enum Begun {
    Call(Socket),
    Stream(Socket, Incoming),
}

/// The caller's messages of a stream.
pub(super) struct Incoming {
    pub(super) messages: mpsc::Receiver<Result<Bytes>>,
    pub(super) caller_ended: Arc<AtomicBool>,
    pub(super) flow: Arc<Flow>,
    /// Whether the caller waits to be granted more.
    pub(super) is_counted: bool,
}

/// Who is worked for. Dropping it frees its place.
pub(super) struct Socket {
    pub(super) serving: Arc<Serving>,
    pub(super) reply: Subject,
    /// Where NATS says that nobody hears.
    pub(super) returns: Subject,
    pub(super) number: u64,
    pub(super) cancel: CancellationToken,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.serving.end(&self.reply, self.number);
    }
}

impl Entry {
    fn header(&self) -> AnswerHeader<'_> {
        AnswerHeader {
            content_type: &self.content_type,
            id: &self.id,
            stream: self.stream.as_ref().map(|stream| &stream.name),
        }
    }
}

impl Serving {
    pub(super) fn new(
        connection: NatsConnection,
        config: NatsTransportConfig,
        handler: Arc<dyn Handler>,
        prefix: String,
    ) -> Self {
        Self {
            connection,
            config,
            handler,
            prefix,
            state: Mutex::default(),
            is_draining: AtomicBool::new(false),
            finish: Notify::new(),
            running: watch::channel(0).0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a place to what begins.
    pub(super) fn begin(
        self: &Arc<Self>,
        reply: &Subject,
        frame: &Frame,
        window: Option<u64>,
    ) -> Result<Begun> {
        let mut state = self.lock();
        if self.is_draining.load(Ordering::Acquire) {
            return Err(error::refused("the listener is closing; call another node"));
        }
        if state.sockets.contains_key(reply) {
            return Err(error::refused(
                "the one before it on this socket is not answered yet; send one after the other, or use several sockets",
            ));
        }
        if state.sockets.len() >= self.config.sockets {
            return Err(error::refused(format_args!(
                "{} calls are being handled, the limit `sockets`; call another node",
                self.config.sockets
            )));
        }
        let number = state.next;
        state.next += 1;
        let cancel = CancellationToken::new();
        let mut entry = Entry {
            number,
            cancel: cancel.clone(),
            content_type: frame.content_type.clone(),
            id: frame.id.clone(),
            stream: None,
        };
        let socket = Socket {
            serving: self.clone(),
            reply: reply.clone(),
            returns: format!("{}.{number}", self.prefix).into(),
            number,
            cancel,
        };
        let begun = match &frame.stream {
            None => Begun::Call(socket),
            Some(name) => {
                let limit = self.config.stream_limit();
                let (sender, messages) = mpsc::channel(limit);
                let incoming = Incoming {
                    messages,
                    caller_ended: Arc::default(),
                    flow: Arc::new(Flow::known(window)),
                    is_counted: window.is_some(),
                };
                entry.stream = Some(StreamEntry {
                    name: name.clone(),
                    messages: Some(sender),
                    caller_ended: incoming.caller_ended.clone(),
                    flow: incoming.flow.clone(),
                    limit,
                });
                state.by_number.insert(number, reply.clone());
                Begun::Stream(socket, incoming)
            }
        };
        state.sockets.insert(reply.clone(), entry);
        drop(state);
        self.running.send_modify(|running| *running += 1);
        Ok(begun)
    }

    fn end(&self, reply: &Subject, number: u64) {
        let mut state = self.lock();
        let is_same = |entry: &Entry| entry.number == number;
        if state.sockets.get(reply).is_some_and(is_same)
            && let Some(entry) = state.sockets.remove(reply)
            && entry.stream.is_some()
        {
            state.by_number.remove(&number);
            state.remember(reply.clone());
        }
        drop(state);
        self.running.send_modify(|running| *running -= 1);
    }

    /// Hands a message to its stream. False: it belongs to none, and may open one.
    pub(super) async fn forward(&self, reply: &Subject, frame: &mut Frame, mark: Option<Mark>) -> bool {
        let overflown = {
            let mut state = self.lock();
            if matches!(mark, Some(Mark::Window(_))) {
                return false;
            }
            let Some(entry) = state.sockets.get_mut(reply) else {
                return state.has_ended.contains(reply);
            };
            let Some(stream) = &mut entry.stream else {
                return false;
            };
            if frame.is_end() {
                stream.caller_ended.store(true, Ordering::Release);
                stream.messages = None;
                return true;
            }
            let message = match frame.error.is_empty() {
                true => Ok(std::mem::take(&mut frame.body)),
                false => Err(Error::from_wire(&frame.error)),
            };
            let Some(messages) = &stream.messages else {
                return true;
            };
            match messages.try_send(message) {
                Err(mpsc::error::TrySendError::Full(_)) => {
                    let limit = stream.limit;
                    let payload = entry
                        .header()
                        .error(&error::overflow(limit), self.connection.client().max_payload());
                    entry.cancel.cancel();
                    payload
                }
                // A handler that stopped listening may still answer.
                _ => return true,
            }
        };
        let _ = self.connection.client().publish(reply.clone(), overflown).await;
        true
    }

    /// Says how many messages may come.
    pub(super) async fn announce(&self, reply: Subject) {
        let headers = Mark::Window(self.config.stream_window as u64).headers();
        let client = self.connection.client();
        let _ = client.publish_with_headers(reply, headers, Bytes::new()).await;
    }

    pub(super) fn grant(&self, reply: &Subject, more: u64) {
        let state = self.lock();
        if let Some(stream) = state.sockets.get(reply).and_then(|entry| entry.stream.as_ref()) {
            stream.flow.grant(more);
        }
    }

    /// The caller does not want to hear any more.
    pub(super) fn close(&self, reply: &Subject) {
        if let Some(entry) = self.lock().sockets.get(reply) {
            entry.cancel.cancel();
        }
    }

    /// What NATS says of a message that nobody heard.
    pub(super) fn returned(&self, message: &Message) {
        if message.status != Some(StatusCode::NO_RESPONDERS) {
            return;
        }
        let number = message.subject.get(self.prefix.len() + 1..);
        let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) else {
            return;
        };
        let state = self.lock();
        if let Some(entry) = state
            .by_number
            .get(&number)
            .and_then(|reply| state.sockets.get(reply))
        {
            entry.cancel.cancel();
        }
    }

    pub(super) fn cut_streams(&self) {
        self.cut(|entry| entry.stream.is_some());
    }

    pub(super) fn cut_all(&self) {
        self.cut(|_| true);
    }

    /// Tells callers that they will not be answered, as far as that works without waiting, and drops their handlers.
    fn cut(&self, which: impl Fn(&Entry) -> bool) {
        let client = self.connection.client();
        let problem = Error::unavailable(
            "go.micro.server",
            "connection error: the service went away during the call",
        );
        for (reply, entry) in &self.lock().sockets {
            if which(entry) && !entry.cancel.is_cancelled() {
                let payload = entry.header().error(&problem, client.max_payload());
                let said = client.publish_with_headers(reply.clone(), Mark::Cut.headers(), payload);
                let _ = said.now_or_never();
                entry.cancel.cancel();
            }
        }
    }

    pub(super) fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    /// Waits until nothing is being worked on.
    pub(super) async fn idle(&self) {
        let mut running = self.running.subscribe();
        let _ = running.wait_for(|running| *running == 0).await;
    }
}

impl State {
    fn remember(&mut self, reply: Subject) {
        if self.ended.len() >= REMEMBERED
            && let Some(oldest) = self.ended.pop_front()
        {
            self.has_ended.remove(&oldest);
        }
        if self.has_ended.insert(reply.clone()) {
            self.ended.push_back(reply);
        }
    }
}
