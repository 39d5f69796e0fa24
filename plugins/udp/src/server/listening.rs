//! The task that reads a listener's socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use micro_core::Error;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::Server;
use super::table::Verdict;
use crate::config::LONGEST;
use crate::datagram::{HEADER, Header, Kind, read_call, read_number};

/// Room for the largest datagram that there is.
const BUFFER: usize = 64 * 1024;
/// The pause after a socket had trouble.
const TROUBLED: Duration = Duration::from_millis(10);
/// How often it is looked for what is old, and for silent callers.
const SWEEP: Duration = Duration::from_secs(5);
/// How long a listener that closes waits for its callers to say that they know it and have their answers.
const LINGER: Duration = Duration::from_millis(500);
/// How often it says farewell meanwhile.
const FAREWELL: Duration = Duration::from_millis(50);

/// Reads datagrams, and does what they say. Dropped, it drops all handlers.
pub(super) struct Listening {
    server: Arc<Server>,
    buffer: Vec<u8>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.server.table().abort();
    }
}

impl Listening {
    pub(super) fn new(server: Arc<Server>) -> Self {
        Self {
            server,
            buffer: vec![0; BUFFER],
        }
    }

    pub(super) async fn run(mut self, mut closing: oneshot::Receiver<Duration>) {
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let grace = loop {
            tokio::select! {
                grace = &mut closing => break grace.unwrap_or_default(),
                () = self.receive() => {}
                _ = sweep.tick() => self.server.table().sweep(Instant::now()),
            }
        };
        self.close(grace).await;
    }

    /// Takes no more calls, and waits for those that run and for their answers to be seen.
    async fn close(mut self, grace: Duration) {
        let until = Instant::now() + grace.min(LONGEST);
        self.server.table().leave(Instant::now());
        self.say_farewell();
        let mut linger = None;
        let mut farewell = interval(FAREWELL);
        loop {
            let now = Instant::now();
            let (running, waiting) = {
                let table = self.server.table();
                (table.running(), table.callers().len())
            };
            if running == 0 && linger.is_none() {
                linger = Some(now + LINGER);
            }
            let end = linger.unwrap_or(until).min(until);
            if (running == 0 && waiting == 0) || now >= end {
                break;
            }
            let next = async {
                tokio::select! {
                    () = self.receive() => {}
                    _ = farewell.tick() => self.say_farewell(),
                }
            };
            let _ = timeout_at(end, next).await;
        }
        let cut_off = self.server.table().running();
        if cut_off > 0 {
            tracing::warn!(cut_off, ?grace, "calls outlived the grace of a closing listener");
        }
        self.server.table().abort();
        self.server.handlers.close();
        self.server.handlers.wait().await;
    }

    fn say_farewell(&self) {
        let callers = self.server.table().callers();
        for (caller, address) in callers {
            let goodbye = Header {
                kind: Kind::Goodbye,
                token: self.server.token(address),
                caller,
                number: 0,
            };
            self.say(&goodbye.to_bytes(), address);
        }
    }

    /// Receives one datagram. Cancelled, it has received none.
    async fn receive(&mut self) {
        match self.server.socket.recv_from(&mut self.buffer).await {
            Ok((length, remote)) => self.take(length, remote),
            Err(problem) => {
                // Of a datagram that came back, usually; whoever it was for is asked no more.
                tracing::debug!(%problem, "a socket has trouble");
                // Trouble that lasts must not spin.
                tokio::time::sleep(TROUBLED).await;
            }
        }
    }

    fn take(&self, length: usize, remote: SocketAddr) {
        let Some((header, body)) = Header::parse(&self.buffer[..length]) else {
            return;
        };
        let server = &self.server;
        let token = server.token(remote);
        let now = Instant::now();
        match header.kind {
            // No longer than what it answers, so that nobody is flooded with what others asked for.
            Kind::Hello => {
                let kind = match server.table().welcome(header.caller, remote, now) {
                    true => Kind::Welcome,
                    false => Kind::Refused,
                };
                let header = Header { token, ..header };
                self.say(&header.with(kind).to_bytes(), remote);
            }
            Kind::Call | Kind::Cancel | Kind::Seen if header.token != token => {
                self.say(&header.with(Kind::Stranger).to_bytes(), remote);
            }
            Kind::Call => self.call(header, body, remote, now),
            Kind::Cancel => server.table().cancel(header.caller, header.number, now),
            Kind::Seen => {
                let mut table = server.table();
                table.see(header.caller, header.number);
                if read_number(body) == Some(header.number) {
                    table.let_go(header.caller);
                }
            }
            _ => {}
        }
    }

    fn call(&self, header: Header, body: &[u8], remote: SocketAddr, now: Instant) {
        let server = &self.server;
        let Some(oldest) = read_number(body) else {
            return;
        };
        let Header { caller, number, .. } = header;
        let mut table = server.table();
        let verdict = table.look(caller, number, oldest.min(number), remote, now);
        match verdict {
            Verdict::New => {
                let Some(call) = read_call(body) else {
                    drop(table);
                    let error = Error::server(400, "the datagram of a call cannot be read");
                    return self.say(&server.error(header, &error), remote);
                };
                let handling = server.clone().handle(header, call.request, remote);
                let handle = tokio::spawn(server.handlers.track_future(handling)).abort_handle();
                table.begin(caller, number, call.oldest.min(number), remote, handle, now);
            }
            Verdict::Working => {
                drop(table);
                self.say(&header.with(Kind::Working).to_bytes(), remote);
            }
            Verdict::Answered(answer) => {
                drop(table);
                self.say(&answer, remote);
            }
            Verdict::Over => {}
            Verdict::Full | Verdict::Leaving => {
                drop(table);
                let refused = header.with(Kind::Refused).to_bytes();
                let reason = [u8::from(verdict == Verdict::Full)];
                self.say(&[&refused[..], &reason].concat(), remote);
            }
        }
    }

    /// Sends where there is room to. What is not sent is asked for again.
    fn say(&self, datagram: &[u8], to: SocketAddr) {
        debug_assert!(datagram.len() >= HEADER);
        let _ = self.server.socket.try_send_to(datagram, to);
    }
}
