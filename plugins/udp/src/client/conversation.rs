//! A conversation with a listener: one socket, and the calls that wait on it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use micro_core::{Error, Text};
use tokio::net::{UdpSocket, lookup_host};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::exchange::{Event, Told};
use crate::config::{LONGEST, UdpConfig};
use crate::datagram::{Header, Kind, read_answer};

/// Room for the largest datagram that there is.
const BUFFER: usize = 64 * 1024;

/// A conversation. Dropped, it is over.
pub(super) struct Conversation {
    socket: Arc<UdpSocket>,
    token: u64,
    caller: u64,
    waiting: Arc<Waiting>,
    _listening: AbortOnDropHandle<()>,
}

/// The calls that wait.
pub(super) struct Waiting(Mutex<State>);

#[derive(Default)]
struct State {
    /// The number of the last call.
    last: u64,
    calls: BTreeMap<u64, WaitingCall>,
    /// The listener takes no more calls, or is gone.
    is_leaving: bool,
    /// Something was sent that may still come back, besides the first datagrams of the calls that wait.
    is_unsure: bool,
}

struct WaitingCall {
    events: mpsc::Sender<Event>,
    /// How often it was sent.
    sent: u32,
}

/// Why there is no conversation.
#[derive(Debug)]
pub(super) enum Unmet {
    NoAddress(io::Error),
    Nobody,
    Silent(Duration),
    Socket(io::Error),
    Told(Told),
}

impl fmt::Display for Unmet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress(problem) => write!(formatter, "it has no address: {problem}"),
            Self::Nobody | Self::Told(Told::Nobody) => formatter.write_str("nobody listens there"),
            Self::Silent(limit) => write!(formatter, "no answer within {limit:?}, the limit connect_timeout"),
            Self::Socket(problem) => write!(formatter, "there is no socket for it: {problem}"),
            Self::Told(Told::Stranger) => formatter.write_str("it does not know this caller"),
            Self::Told(Told::Leaving) => formatter.write_str("it takes no more calls"),
            Self::Told(Told::Full) => formatter.write_str("it has too many calls"),
        }
    }
}

impl Conversation {
    /// Says the first words until they are answered.
    pub(super) async fn begin(address: &Text, config: &UdpConfig) -> Result<Arc<Self>, Unmet> {
        let limit = config.connect_timeout.min(LONGEST);
        let until = Instant::now() + limit;
        let caller = fastrand::u64(..);
        let met = async {
            let mut addresses = lookup_host(address.as_str()).await.map_err(Unmet::NoAddress)?;
            let address = addresses
                .next()
                .ok_or_else(|| Unmet::NoAddress(ErrorKind::NotFound.into()))?;
            let socket = connect(address).await.map_err(Unmet::Socket)?;
            let (token, hellos) = hello(&socket, caller, config).await?;
            Ok((socket, token, hellos))
        };
        let (socket, token, hellos) = timeout_at(until, met).await.map_err(|_| Unmet::Silent(limit))??;
        let socket = Arc::new(socket);
        let waiting = Arc::new(Waiting(Mutex::new(State {
            is_unsure: hellos > 1,
            ..State::default()
        })));
        let listen = listen(socket.clone(), token, caller, Arc::downgrade(&waiting));
        Ok(Arc::new(Self {
            socket,
            token,
            caller,
            waiting,
            _listening: AbortOnDropHandle::new(tokio::spawn(listen)),
        }))
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.waiting.lock().is_leaving
    }

    /// Begins a call: its header, and where what happens to it is told. `None`: the listener takes no more.
    pub(super) fn begin_call(&self) -> Option<(Header, mpsc::Receiver<Event>)> {
        let (events, told) = mpsc::channel(4);
        let mut state = self.waiting.lock();
        if state.is_leaving {
            return None;
        }
        state.last += 1;
        let number = state.last;
        state.calls.insert(number, WaitingCall { events, sent: 0 });
        let header = Header {
            kind: Kind::Call,
            token: self.token,
            caller: self.caller,
            number,
        };
        Some((header, told))
    }

    /// The oldest call that waits.
    pub(super) fn oldest(&self) -> u64 {
        self.waiting.lock().oldest()
    }

    /// Sends a call, once more or for the first time. False: nobody listens there, as it turned out.
    pub(super) async fn send_call(&self, number: u64, datagram: &[u8]) -> bool {
        if let Some(call) = self.waiting.lock().calls.get_mut(&number) {
            call.sent += 1;
        }
        match self.socket.send(datagram).await {
            Err(problem) if problem.kind() == ErrorKind::ConnectionRefused => {
                // The system tells so of an earlier datagram, and did not send this one.
                if let Some(call) = self.waiting.lock().calls.get_mut(&number) {
                    call.sent -= 1;
                }
                self.waiting.nobody();
                false
            }
            // Whatever else went wrong, the datagram is lost as others are.
            _ => true,
        }
    }

    /// How often a call was sent.
    pub(super) fn sent(&self, number: u64) -> u32 {
        self.waiting.lock().calls.get(&number).map_or(0, |call| call.sent)
    }

    /// Ends a call. The node is told if nobody waits for it any more.
    pub(super) fn end_call(&self, header: Header, is_answered: bool) {
        let seen = {
            let mut state = self.waiting.lock();
            let sent = state.calls.remove(&header.number).map_or(0, |call| call.sent);
            // Who is not answered is told so, which may come back as well.
            state.is_unsure |= sent > 1 || !is_answered;
            (state.is_leaving && state.calls.is_empty()).then(|| state.seen(header))
        };
        // Lost where there is no room: the node finds out by itself.
        if !is_answered {
            let _ = self.socket.try_send(&header.with(Kind::Cancel).to_bytes());
        }
        if let Some(seen) = seen {
            let _ = self.socket.try_send(&seen);
        }
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, number: u64, event: Event) {
        if let Some(call) = self.lock().calls.get(&number) {
            // Full: it has enough to think about, and asks again.
            let _ = call.events.try_send(event);
        }
    }

    /// Nobody listens there: one datagram came back, and the system does not say which.
    fn nobody(&self) {
        let mut state = self.lock();
        state.is_leaving = true;
        let sent: u32 = state.calls.values().map(|call| call.sent).sum();
        // Where one datagram alone can be meant, its call was surely not received.
        let is_sure = sent <= 1 && !state.is_unsure;
        for call in state.calls.values() {
            let event = match is_sure || call.sent == 0 {
                true => Event::Told(Told::Nobody),
                false => Event::Gone,
            };
            let _ = call.events.try_send(event);
        }
    }
}

impl State {
    /// Says what this side waits for. Comes back where the listener ended at once, also with calls that it had begun.
    fn seen(&mut self, header: Header) -> Vec<u8> {
        self.is_unsure = true;
        let number = self.oldest();
        let header = Header {
            number,
            ..header.with(Kind::Seen)
        };
        [&header.to_bytes()[..], &(self.last + 1).to_be_bytes()].concat()
    }

    fn oldest(&self) -> u64 {
        self.calls.keys().next().copied().unwrap_or(self.last + 1)
    }
}

async fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    let any = match address {
        SocketAddr::V4(_) => "0.0.0.0:0",
        SocketAddr::V6(_) => "[::]:0",
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

/// Asks for a token until there is one. Says how often it asked, too.
async fn hello(socket: &UdpSocket, caller: u64, config: &UdpConfig) -> Result<(u64, u32), Unmet> {
    let hello = Header {
        kind: Kind::Hello,
        token: 0,
        caller,
        number: 0,
    };
    let mut pause = config.first_pause.max(Duration::from_millis(1));
    let mut buffer = [0; 128];
    let mut hellos = 0;
    loop {
        hellos += 1;
        if let Err(problem) = socket.send(&hello.to_bytes()).await {
            return Err(unmet(problem));
        }
        let until = Instant::now() + pause.min(LONGEST);
        while let Ok(received) = timeout_at(until, socket.recv(&mut buffer)).await {
            let length = received.map_err(unmet)?;
            match Header::parse(&buffer[..length]) {
                Some((header, _)) if header.caller != hello.caller => {}
                Some((header, _)) if header.kind == Kind::Welcome => return Ok((header.token, hellos)),
                Some((header, _)) if header.kind == Kind::Refused => return Err(Unmet::Told(Told::Leaving)),
                _ => {}
            }
        }
        pause = pause.saturating_mul(2).min(config.longest_pause.max(pause));
    }
}

fn unmet(problem: io::Error) -> Unmet {
    match problem.kind() {
        ErrorKind::ConnectionRefused => Unmet::Nobody,
        _ => Unmet::Socket(problem),
    }
}

/// Tells the calls what comes for them.
async fn listen(socket: Arc<UdpSocket>, token: u64, caller: u64, waiting: Weak<Waiting>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let received = socket.recv(&mut buffer).await;
        let Some(waiting) = waiting.upgrade() else { return };
        match received {
            Ok(length) => {
                let Some((header, body)) = Header::parse(&buffer[..length]) else {
                    continue;
                };
                // Only who got the token and the caller's number can know them.
                if header.token == token && header.caller == caller {
                    take(&socket, header, body, &waiting);
                }
            }
            Err(problem) if problem.kind() == ErrorKind::ConnectionRefused => waiting.nobody(),
            Err(problem) => {
                tracing::debug!(%problem, "a socket has trouble");
                drop(waiting);
                // Whatever it is, trying again at once would only spin.
                let _ = timeout(Duration::from_millis(10), std::future::pending::<()>()).await;
            }
        }
    }
}

fn take(socket: &UdpSocket, header: Header, body: &[u8], waiting: &Waiting) {
    let event = match header.kind {
        Kind::Answer => read_answer(body).map_or(Event::Malformed, Event::Answer),
        Kind::Error => Event::Error(Error::from_wire(&String::from_utf8_lossy(body))),
        Kind::Working => Event::Working,
        Kind::Refused => Event::Told(match body.first() {
            Some(1) => Told::Full,
            _ => Told::Leaving,
        }),
        Kind::Stranger => Event::Told(Told::Stranger),
        Kind::Goodbye => {
            let seen = {
                let mut state = waiting.lock();
                state.is_leaving = true;
                state.seen(header)
            };
            let _ = socket.try_send(&seen);
            return;
        }
        Kind::Hello | Kind::Welcome | Kind::Call | Kind::Cancel | Kind::Seen => return,
    };
    waiting.tell(header.number, event);
}
