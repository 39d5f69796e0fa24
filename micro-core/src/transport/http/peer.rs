//! The calling end: a node, its pooled connections, and one exchange at a time on each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::connection::{Message, ReadError, Side, write_message};
use super::head::{BadHead, str_of, write_post};
use super::pool::{Connection, Pool};
use super::serve::GOODBYE;
use super::tls::{self, Connector};
use super::{HttpConfig, HttpLimits};
use crate::error::CLIENT;
use crate::handler::{BoxFuture, CallKind};
use crate::{Error, Handler, Request, Response, Result, Text};

/// How long an answer is waited for that a peer may have sent before it stopped reading.
const EARLY_ANSWER: Duration = Duration::from_millis(100);

/// A node that was dialled.
pub(super) struct HttpPeer(pub(super) Arc<PeerShared>);

/// What is sent for one answer.
pub(super) enum Outgoing<'a> {
    /// A call of one message.
    Call(&'a mut Request),
    /// A plain post to a request target, which is free of spaces and control characters.
    Post {
        target: &'a str,
        content_type: &'a str,
        body: &'a [u8],
    },
}

impl Outgoing<'_> {
    fn body(&self) -> &[u8] {
        match self {
            Self::Call(request) => request.body.as_single().map_or(&[][..], |body| body),
            Self::Post { body, .. } => body,
        }
    }

    /// Writes the head, up to and with the empty line, to the connection's empty output.
    fn write_head(&self, peer: &PeerShared, connection: &mut Connection, now: Instant) -> Result<()> {
        let Connection {
            output, beginning, ..
        } = connection;
        let length = self.body().len();
        match self {
            Self::Call(request) => {
                beginning.write_unary(output, &peer.lead, request, peer.next_id(), now, length)
            }
            Self::Post {
                target, content_type, ..
            } => write_post(output, target, &peer.address, content_type, length),
        }
    }
}

pub(super) struct PeerShared {
    pub(super) address: Text,
    /// The first line and `Host` of every request.
    pub(super) lead: Vec<u8>,
    pub(super) limits: HttpLimits,
    connector: Connector,
    connect_timeout: Duration,
    max_age: Duration,
    pool: Pool,
    next_id: AtomicU64,
}

impl PeerShared {
    pub(super) fn new(address: &str, config: &HttpConfig, connector: Connector) -> Result<Self> {
        let port = address
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty())
            .map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(1..))) || address.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(Error::bad_request(
                CLIENT,
                format!("connection error: node address {address:?} is not host:port, which the http transport needs"),
            )
            .never_started());
        }
        Ok(Self {
            address: address.into(),
            lead: format!("POST / HTTP/1.1\r\nHost: {address}\r\n").into_bytes(),
            limits: config.limits,
            connector,
            connect_timeout: config.connect_timeout,
            max_age: config.pool_max_age,
            pool: Pool::new(config.pool_size, config.pool_idle_timeout),
            next_id: AtomicU64::new(0),
        })
    }

    pub(super) fn drop_expired(&self) {
        self.pool.drop_expired();
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) async fn connect(&self) -> Result<Box<Connection>> {
        match timeout(self.connect_timeout, self.connector.connect(&self.address)).await {
            Ok(Ok(io)) => Ok(Connection::new(io, self.max_age)),
            Ok(Err(problem)) => Err(self.unreachable(&problem.to_string()).with_source(problem)),
            Err(_) => Err(self.unreachable(&format!("no connection within {:?}", self.connect_timeout))),
        }
    }

    pub(super) fn unreachable(&self, problem: &str) -> Error {
        Error::unavailable(
            CLIENT,
            format!("connection error: cannot connect to {}: {problem}", self.address),
        )
        .never_started()
    }

    /// The error of a connection that broke while the answer was awaited: whether the handler ran is unknown.
    pub(super) fn broken(&self, problem: &str) -> Error {
        Error::unavailable(
            CLIENT,
            format!(
                "connection error: {} did not answer: {problem}; whether the call was handled is unknown",
                self.address
            ),
        )
        .unanswered()
    }

    // Exclusive, because a request cannot be shared by threads; it stays as it is.
    async fn exchange(&self, request: &mut Request) -> Result<Response> {
        let message = self.send(Outgoing::Call(request)).await?;
        self.response(message, &request.content_type)
    }

    /// Sends what goes out on a connection of the pool, and waits for the answer.
    pub(super) async fn send(&self, outgoing: Outgoing<'_>) -> Result<Message> {
        loop {
            let mut now = Instant::now();
            let (mut connection, is_fresh) = match self.pool.take(now) {
                Some(connection) => (connection, false),
                None => {
                    // Boxed, so that what is rare does not make every call's future larger.
                    let connection = Box::pin(self.connect()).await?;
                    now = Instant::now();
                    (connection, true)
                }
            };
            connection.output.clear();
            if let Err(error) = outgoing.write_head(self, &mut connection, now) {
                self.pool.put(connection);
                return Err(error.never_started());
            }
            match self.try_exchange(&mut connection, outgoing.body()).await {
                Ok(Answer::Received(message)) => {
                    if message.head.keep_alive && connection.input.is_empty() {
                        self.pool.put(connection);
                    }
                    return Ok(message);
                }
                // An idle connection that the peer had given up; the pool holds finitely many of them.
                Ok(Answer::NotTaken(_)) if !is_fresh => {}
                Ok(Answer::NotTaken(problem)) => {
                    return Err(self.unreachable(&format!("it took no request: {problem}")));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends the head that the connection holds, and a body, and waits for the answer.
    async fn try_exchange(&self, connection: &mut Connection, body: &[u8]) -> Result<Answer> {
        let Connection {
            io, input, output, ..
        } = connection;
        if let Err(problem) = write_message(io, output, body).await {
            // What was not sent whole was not handled. The peer may have said why before it stopped reading.
            let answer = timeout(EARLY_ANSWER, input.message(Side::Responses, io, &self.limits));
            return match Box::pin(answer).await {
                Ok(Ok(Some(message))) if !is_goodbye(&message) => Ok(Answer::Received(message)),
                _ => Ok(Answer::NotTaken(problem.to_string())),
            };
        }
        match input.message(Side::Responses, io, &self.limits).await {
            Ok(Some(message)) if is_goodbye(&message) => Ok(Answer::NotTaken("it is going away".to_owned())),
            Ok(Some(message)) => Ok(Answer::Received(message)),
            Ok(None) => Err(self.broken("it closed the connection")),
            Err(ReadError::Bad(_)) if tls::is_alert(input.unread()) => Err(self
                .malformed("it speaks TLS; give this transport HttpConfig::tls")
                .never_started()),
            Err(ReadError::Bad(bad)) => Err(self.unreadable(&bad)),
            // How TLS 1.3 tells a client, after its handshake, that its certificate will not do.
            Err(ReadError::Io(problem)) if tls::is_refusal(&problem) => {
                Ok(Answer::NotTaken(problem.to_string()))
            }
            Err(problem) => Err(self.broken(&problem.to_string())),
        }
    }

    /// The error of an answer that came but was not taken.
    pub(super) fn unreadable(&self, bad: &BadHead) -> Error {
        if !matches!(bad.code, 413 | 431) {
            return self.malformed(&bad.detail);
        }
        Error::client(
            bad.code,
            format!(
                "the answer of {} is too large for this side: {}; raise it in HttpConfig::limits of the caller",
                self.address, bad.detail
            ),
        )
    }

    fn malformed(&self, problem: &str) -> Error {
        Error::new(
            "go.micro.client.transport",
            502,
            format!(
                "{} answered something else than HTTP/1.1 as it is spoken here: {problem}",
                self.address
            ),
        )
        .unanswered()
    }

    fn response(&self, mut message: Message, content_type: &str) -> Result<Response> {
        if let Some(error) = self.refusal(&message, content_type) {
            return Err(error);
        }
        let metadata = message.head.metadata(&message.text);
        Ok(Response {
            content_type: message.content_type,
            metadata,
            body: message.body.into(),
        })
    }

    /// The error that a message carries, if it does.
    pub(super) fn refusal(&self, message: &Message, content_type: &str) -> Option<Error> {
        let error = str_of(&message.text, message.head.error);
        if !error.is_empty() {
            return Some(Error::from_wire(error));
        }
        let said = || {
            String::from_utf8_lossy(message.body.get(..512).unwrap_or(&message.body))
                .trim()
                .to_owned()
        };
        if message.status() != 200 {
            let status = message.status();
            let detail = format!("{} answered HTTP status {status}: {}", self.address, said());
            return Some(Error::new("go.micro.client.transport", i32::from(status), detail));
        }
        // How Go Micro answers a content type that it does not know.
        if message.content_type.starts_with("text/plain") && !content_type.starts_with("text/plain") {
            return Some(Error::new(
                "go.micro.client.codec",
                415,
                format!("{} answered: {}", self.address, said()),
            ));
        }
        None
    }
}

enum Answer {
    Received(Message),
    /// The peer surely did not begin to handle the request.
    NotTaken(String),
}

pub(super) fn is_goodbye(message: &Message) -> bool {
    message.status() == 503
        && message
            .head
            .others
            .iter()
            .any(|span| str_of(&message.text, span.name).eq_ignore_ascii_case(GOODBYE))
}

impl Handler for HttpPeer {
    // Written out, so that the future of a call of one message has no room for a stream's.
    fn handle<'a, 'b>(&'a self, mut request: Request) -> BoxFuture<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        if is_exchange(&request) {
            Box::pin(async move { self.0.exchange(&mut request).await })
        } else {
            Box::pin(super::peer_stream::open(self.0.clone(), request))
        }
    }

    fn handle_kept<'a, 'b, 'c>(&'a self, request: &'b mut Request) -> BoxFuture<'c>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        if is_exchange(request) {
            return Box::pin(self.0.exchange(request));
        }
        Box::pin(async move { self.handle(request.copy()?).await })
    }
}

/// Whether one message goes out and one comes back.
fn is_exchange(request: &Request) -> bool {
    request.kind == CallKind::Unary && !request.body.is_stream()
}
