//! The sockets of a transport's callers: who waits for what at which inbox.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_nats::{Message, StatusCode, Subject, Subscriber};
use futures_util::StreamExt;
use micro_core::{Error, Result, Text};
use micro_nats_connection::NatsConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::PeerShared;
use crate::error;
use crate::flow::Flow;
use crate::mark::{Mark, farewell};

pub(crate) struct Sockets {
    /// What all inboxes begin with.
    prefix: String,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, Waiting>>,
    /// Nodes that are asked whether they are there, since when.
    probes: Mutex<HashMap<u64, (Text, Instant)>>,
    peers: Mutex<Vec<Weak<PeerShared>>>,
}

struct Waiting {
    address: Text,
    since: Instant,
    kind: Kind,
}

enum Kind {
    Call(oneshot::Sender<Result<Message>>),
    Stream {
        flow: Arc<Flow>,
        messages: mpsc::Sender<Message>,
        limit: usize,
        /// Something has come of it.
        is_open: bool,
    },
}

impl Waiting {
    fn fail(self, error: Error) {
        match self.kind {
            Kind::Call(tell) => drop(tell.send(Err(error))),
            // Its reader finds the error behind what has come.
            Kind::Stream { flow, .. } => flow.fail(error),
        }
    }
}

impl Sockets {
    pub(crate) fn new(prefix: String) -> Self {
        Self {
            prefix,
            next: AtomicU64::new(0),
            waiting: Mutex::default(),
            probes: Mutex::default(),
            peers: Mutex::default(),
        }
    }

    /// The subject of all inboxes.
    pub(crate) fn all(&self) -> String {
        format!("{}.*", self.prefix)
    }

    pub(super) fn new_socket(&self) -> (u64, Subject) {
        let socket = self.next.fetch_add(1, Ordering::Relaxed);
        (socket, Subject::from(format!("{}.{socket}", self.prefix)))
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn probes(&self) -> MutexGuard<'_, HashMap<u64, (Text, Instant)>> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin_call(&self, socket: u64, address: Text, tell: oneshot::Sender<Result<Message>>) {
        let waiting = Waiting {
            address,
            since: Instant::now(),
            kind: Kind::Call(tell),
        };
        self.waiting().insert(socket, waiting);
    }

    pub(super) fn begin_stream(
        &self,
        socket: u64,
        address: Text,
        flow: Arc<Flow>,
        limit: usize,
    ) -> mpsc::Receiver<Message> {
        let (messages, receiver) = mpsc::channel(limit);
        let waiting = Waiting {
            address,
            since: Instant::now(),
            kind: Kind::Stream {
                flow,
                messages,
                limit,
                is_open: false,
            },
        };
        self.waiting().insert(socket, waiting);
        receiver
    }

    pub(super) fn end(&self, socket: u64) {
        self.waiting().remove(&socket);
    }

    /// Keeps a peer in view of the task that closes its idle sockets.
    pub(super) fn watch_over(&self, peer: &Arc<PeerShared>) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() == peers.capacity() {
            peers.retain(|peer| peer.strong_count() > 0);
        }
        peers.push(Arc::downgrade(peer));
    }

    /// Hands answers to who waits for them, notices who is gone, and closes idle sockets.
    pub(crate) async fn run(
        self: Arc<Self>,
        connection: NatsConnection,
        probe_interval: Duration,
        mut answers: Subscriber,
    ) {
        let mut ticks = interval(probe_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut losses = connection.losses();
        loop {
            tokio::select! {
                biased;
                message = answers.next() => match message {
                    Some(message) => self.take(message, &connection),
                    None => return self.fail_all(&connection),
                },
                () = connection.lost(losses) => {
                    losses = connection.losses();
                    // What was on its way may be lost.
                    self.fail_all(&connection);
                }
                now = ticks.tick() => {
                    self.probe(now, probe_interval, &connection).await;
                    self.drop_expired(now);
                }
            }
        }
    }

    fn take(&self, message: Message, connection: &NatsConnection) {
        let Some(number) = message.subject.get(self.prefix.len() + 1..) else {
            return;
        };
        let is_nobody = message.status == Some(StatusCode::NO_RESPONDERS);
        if let Some(probe) = number.strip_prefix('p') {
            let asked = probe
                .parse()
                .ok()
                .and_then(|probe: u64| self.probes().remove(&probe));
            if let (true, Some((address, since))) = (is_nobody, asked) {
                self.fail_node(&address, since);
            }
            return;
        }
        let Ok(socket) = number.parse::<u64>() else {
            return;
        };
        match is_nobody {
            true => self.nobody(socket, connection),
            false => self.answer(socket, message),
        }
    }

    /// Nobody listens where the messages of a socket go.
    fn nobody(&self, socket: u64, connection: &NatsConnection) {
        let Some(waiting) = self.waiting().remove(&socket) else {
            return;
        };
        let error = match waiting.kind {
            Kind::Stream { is_open: true, .. } => error::gone(&waiting.address, "it listens no more"),
            _ => error::nobody(&waiting.address, connection.servers()),
        };
        waiting.fail(error);
    }

    fn answer(&self, socket: u64, message: Message) {
        let mut all = self.waiting();
        let Some(waiting) = all.get_mut(&socket) else {
            return;
        };
        if let Kind::Stream {
            flow,
            messages,
            limit,
            is_open,
        } = &mut waiting.kind
        {
            *is_open = true;
            match Mark::of(&message) {
                Some(Mark::Window(window)) => return flow.announce(window),
                Some(Mark::Grant(more)) => return flow.grant(more),
                _ => {}
            }
            if let Err(mpsc::error::TrySendError::Full(_)) = messages.try_send(message) {
                flow.fail(error::overflow(*limit));
                all.remove(&socket);
            }
            return;
        }
        let Some(Waiting {
            kind: Kind::Call(tell),
            ..
        }) = all.remove(&socket)
        else {
            return;
        };
        drop(all);
        let _ = tell.send(Ok(message));
    }

    fn fail_all(&self, connection: &NatsConnection) {
        let all = std::mem::take(&mut *self.waiting());
        for waiting in all.into_values() {
            let why = format!("the connection to NATS at {} was lost", connection.servers());
            let error = error::gone(&waiting.address, &why);
            waiting.fail(error);
        }
    }

    /// Nobody listened at an address at that time: who waits since before will not be answered.
    fn fail_node(&self, address: &Text, since: Instant) {
        let gone: Vec<Waiting> = {
            let mut all = self.waiting();
            let sockets: Vec<u64> = all
                .iter()
                .filter(|(_, waiting)| waiting.address == *address && waiting.since < since)
                .map(|(socket, _)| *socket)
                .collect();
            sockets.iter().filter_map(|socket| all.remove(socket)).collect()
        };
        for waiting in gone {
            let error = error::gone(&waiting.address, "it listens no more");
            waiting.fail(error);
        }
    }

    /// Asks the nodes that owe answers for a while whether they are there: NATS says so if nobody is.
    async fn probe(&self, now: Instant, interval: Duration, connection: &NatsConnection) {
        let mut owing: BTreeSet<Text> = {
            let all = self.waiting();
            let late = all
                .values()
                .filter(|waiting| now.saturating_duration_since(waiting.since) >= interval);
            late.map(|waiting| waiting.address.clone()).collect()
        };
        {
            let mut probes = self.probes();
            probes.retain(|_, (_, since)| now.saturating_duration_since(*since) < interval * 2);
            for (address, _) in probes.values() {
                owing.remove(address);
            }
        }
        for address in owing {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            self.probes().insert(number, (address.clone(), Instant::now()));
            let inbox = format!("{}.p{number}", self.prefix);
            let headers = Mark::Close.headers();
            let client = connection.client();
            let _ = client
                .publish_with_reply_and_headers(address.to_string(), inbox, headers, farewell())
                .await;
        }
    }

    fn drop_expired(&self, now: Instant) {
        let peers: Vec<Arc<PeerShared>> = {
            let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
            peers.iter().filter_map(Weak::upgrade).collect()
        };
        for peer in peers {
            peer.drop_expired(now);
        }
    }
}
