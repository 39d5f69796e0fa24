//! One connection of a listener: requests one after the other, until it becomes a stream or another protocol.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::connection::{Io, Message, ReadBuffer, ReadError, Side, write_message};
use super::head::{
    BadHead, Framing, Head, Start, str_of, text, write_header, write_known_header, write_length,
};
use super::listener::Server;
use super::{HttpLimits, mount, serve_stream};
use crate::handler::{CallKind, Peer, RequestParts};
use crate::transport::socket::{HTTP2_PREFACE, Socket};
use crate::{Body, Error, Metadata, Request, Response, Result, Text, wire};

/// Marks the answer that a connection gives before it closes while idle: whoever reads it as the answer to a
/// request that crossed it knows that the request was not handled.
pub(super) const GOODBYE: &str = "Micro-Goodbye";

/// How long a peer may take to notice that the connection is closing.
const LINGER: Duration = Duration::from_millis(500);
/// How much is discarded meanwhile, in bytes.
const LINGER_BYTES: u64 = 1024 * 1024;

pub(super) async fn serve(io: Io, peer: Peer, server: Arc<Server>) {
    let connection = Connection {
        io,
        input: ReadBuffer::default(),
        output: Vec::new(),
        peer,
        server,
    };
    connection.run().await;
}

struct Connection {
    io: Io,
    input: ReadBuffer,
    output: Vec<u8>,
    peer: Peer,
    server: Arc<Server>,
}

/// What came while the connection waited for a request.
enum Waited {
    Bytes,
    Closed,
    /// Nothing for too long, or the server is going away.
    Enough,
}

/// What to do with a connection on which a head has arrived.
enum Next {
    Exchange(Message),
    /// A path that is mounted, or what may be another protocol: hyper's, from the head on.
    Mounted,
}

impl Connection {
    async fn run(mut self) {
        let server = self.server.clone();
        let mut drain = pin!(server.draining.begun());
        let mut idle = pin!(sleep(server.limits.idle_timeout));
        // Registered once: from now on both wake this connection's task, and are asked only by looking at a flag.
        std::future::poll_fn(|context| {
            let _ = drain.as_mut().poll(context);
            let _ = idle.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
        let mut since = Instant::now();
        let mut is_first = true;
        loop {
            if self.input.is_empty() {
                match self.wait(idle.as_mut(), &mut since).await {
                    Waited::Bytes => {}
                    Waited::Closed => return,
                    Waited::Enough => return self.say_goodbye().await,
                }
            }
            if is_first && self.begins_http2().await {
                let socket = Socket::new(self.io, self.input.take());
                return mount::serve_http2(socket, self.peer, self.server).await;
            }
            is_first = false;
            let message = match self.receive(&server.limits).await {
                Ok(Some(Next::Exchange(message))) => message,
                Ok(Some(Next::Mounted)) => {
                    let socket = Socket::new(self.io, self.input.take());
                    return mount::serve_http1(socket, self.peer, self.server).await;
                }
                Ok(None) => return,
                Err(bad) => return self.refuse(bad).await,
            };
            if message.head.stream.is_some() {
                if str_of(&message.text, message.head.error) == wire::END_OF_STREAM {
                    // The end of a stream that nobody opened.
                    return self.close().await;
                }
                let (request, stream) = self.stream_request(message);
                return serve_stream::serve(self.io, self.input, request, stream, self.server).await;
            }
            if self.exchange(&server, message, Instant::now()).await.is_break() {
                return;
            }
            since = Instant::now();
        }
    }

    /// Waits for the next request's first bytes. Costs no timer and no registration a request.
    async fn wait(&mut self, mut idle: Pin<&mut Sleep>, since: &mut Instant) -> Waited {
        let Self {
            io, input, server, ..
        } = self;
        std::future::poll_fn(|context| {
            match input.poll_fill(io, context) {
                Poll::Ready(Ok(1..)) => return Poll::Ready(Waited::Bytes),
                Poll::Ready(_) => return Poll::Ready(Waited::Closed),
                Poll::Pending if server.draining.has_begun() => return Poll::Ready(Waited::Enough),
                Poll::Pending => {}
            }
            while idle.is_elapsed() {
                let until = *since + server.limits.idle_timeout;
                if Instant::now() >= until {
                    return Poll::Ready(Waited::Enough);
                }
                idle.as_mut().reset(until);
                let _ = idle.as_mut().poll(context);
            }
            Poll::Pending
        })
        .await
    }

    async fn begins_http2(&mut self) -> bool {
        // Four bytes tell it from any method of HTTP/1.1; fewer may have come.
        let unread = self.input.unread();
        if !HTTP2_PREFACE.starts_with(unread.get(..4).unwrap_or(unread)) {
            return false;
        }
        let read = async {
            while self.input.unread().len() < HTTP2_PREFACE.len()
                && HTTP2_PREFACE.starts_with(self.input.unread())
            {
                if !matches!(self.input.fill(&mut self.io).await, Ok(1..)) {
                    return;
                }
            }
        };
        let _ = timeout(self.server.limits.head_timeout, read).await;
        self.input.unread().starts_with(HTTP2_PREFACE)
    }

    /// The next request. `None`: the peer is gone.
    async fn receive(&mut self, limits: &HttpLimits) -> Result<Option<Next>, BadHead> {
        let head = match self.input.head(Side::Requests, limits)? {
            Some(head) => head,
            None => match timeout(limits.head_timeout, self.dribbling_head(limits)).await {
                Ok(head) => match head? {
                    Some(head) => head,
                    None => return Ok(None),
                },
                Err(_) => {
                    let limit = limits.head_timeout;
                    return Err(BadHead::new(
                        408,
                        format!("the head took longer than {limit:?}, the limit head_timeout"),
                    ));
                }
            },
        };
        if self.is_mounted(&head) {
            return Ok(Some(Next::Mounted));
        }
        let expects_continue = head.expects_continue;
        let head = match self.input.whole(head, Side::Requests)? {
            Ok(message) => return Ok(Some(Next::Exchange(message))),
            Err(head) => head,
        };
        if expects_continue && head.framing != Framing::None {
            let _ = self.io.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        }
        match timeout(limits.body_timeout, self.input.rest(head, &mut self.io, limits)).await {
            Ok(Ok(message)) => Ok(Some(Next::Exchange(message))),
            Ok(Err(ReadError::Bad(bad))) => Err(bad),
            Ok(Err(ReadError::Io(_) | ReadError::Cut)) => Ok(None),
            Err(_) => Err(body_too_slow(limits.body_timeout)),
        }
    }

    async fn dribbling_head(&mut self, limits: &HttpLimits) -> Result<Option<Box<Head>>, BadHead> {
        while matches!(self.input.fill(&mut self.io).await, Ok(1..)) {
            if let Some(head) = self.input.head(Side::Requests, limits)? {
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    fn is_mounted(&self, head: &Head) -> bool {
        if self.server.routes.is_empty() && self.server.speaker.is_none() {
            return false;
        }
        let Start::Request { target: (start, end) } = head.start else {
            return false;
        };
        let target = self
            .input
            .unread()
            .get(start as usize..end as usize)
            .unwrap_or_default();
        // Where calls go, unless a route is all that is served here.
        if target == b"/" && self.server.serves_calls {
            return false;
        }
        // What names no endpoint is no call of a framework's.
        let is_foreign =
            self.server.speaker.is_some() && head.stream.is_none() && head.endpoint.0 == head.endpoint.1;
        is_foreign
            || std::str::from_utf8(target).is_ok_and(|target| self.server.routes.find(target).is_some())
    }

    fn stream_request(&mut self, mut message: Message) -> (Request, Text) {
        let stream = message
            .head
            .stream
            .map(|part| text(&message.text, part))
            .unwrap_or_default();
        let mut request = request(&mut message, Some(self.peer), Instant::now());
        request.kind = CallKind::Stream;
        // What opens a stream has no meaning beyond that.
        request.body = Body::empty();
        (request, stream)
    }

    async fn exchange(&mut self, server: &Server, mut message: Message, now: Instant) -> ControlFlow<()> {
        let request = request(&mut message, Some(self.peer), now);
        let caller = Caller::of(&message.head, &request);
        let keep_alive = message.head.keep_alive;
        drop(message);
        let mut call = server.handler.handle(request);
        let Some(result) = self.until_gone(call.as_mut()).await else {
            return ControlFlow::Break(());
        };
        let keep_alive = keep_alive && !server.draining.has_begun();
        let sent = match result {
            Ok(Response {
                content_type,
                metadata,
                body,
            }) => match body.try_into_single() {
                Ok(body) => {
                    self.answer(&caller, &content_type, &metadata, body, keep_alive)
                        .await
                }
                Err(body) => {
                    let response = Response {
                        content_type,
                        metadata,
                        body,
                    };
                    return self.flow(response, &caller).await;
                }
            },
            Err(error) => self.fail(&caller, &error, keep_alive).await,
        };
        match sent && keep_alive {
            true => ControlFlow::Continue(()),
            false => {
                self.close().await;
                ControlFlow::Break(())
            }
        }
    }

    /// Runs a call until it is done or the caller is gone. What the caller sends meanwhile is kept, up to a bound.
    async fn until_gone<T>(&mut self, mut call: Pin<&mut (dyn Future<Output = T> + Send)>) -> Option<T> {
        let Self { io, input, .. } = self;
        std::future::poll_fn(|context| {
            if let Poll::Ready(result) = call.as_mut().poll(context) {
                return Poll::Ready(Some(result));
            }
            while !input.is_full() {
                match input.poll_fill(io, context) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(_) => return Poll::Ready(None),
                    Poll::Pending => break,
                }
            }
            Poll::Pending
        })
        .await
    }

    async fn answer(
        &mut self,
        caller: &Caller,
        content_type: &Text,
        metadata: &Metadata,
        body: Bytes,
        keep_alive: bool,
    ) -> bool {
        self.output.clear();
        self.output.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        let content_type = if content_type.is_empty() {
            &caller.content_type
        } else {
            content_type
        };
        write_content_type(&mut self.output, content_type);
        write_length(&mut self.output, body.len());
        if let Err(error) = write_rest(&mut self.output, metadata, keep_alive) {
            return self.fail(caller, &error, keep_alive).await;
        }
        self.write(&body).await
    }

    /// Sends what the output holds, and a body. False: it could not be sent, or not in time.
    async fn write(&mut self, body: &[u8]) -> bool {
        let limit = self.server.limits.write_timeout;
        let mut write = pin!(write_message(&mut self.io, &mut self.output, body));
        // Nearly every answer goes out at once, without a timer.
        let at_once = std::future::poll_fn(|context| Poll::Ready(write.as_mut().poll(context)));
        if let Poll::Ready(sent) = at_once.await {
            return sent.is_ok();
        }
        // Boxed, so that what is rare does not make every call's future larger.
        matches!(Box::pin(timeout(limit, write)).await, Ok(Ok(())))
    }

    /// Answers with an error: in its header alone where a framework calls, and so that a person can read it else.
    async fn fail(&mut self, caller: &Caller, error: &Error, keep_alive: bool) -> bool {
        self.output.clear();
        write_error(&mut self.output, caller, error, keep_alive);
        self.write(&[]).await
    }

    /// Answers a plain request with a stream: chunks for a person, an error for a framework.
    async fn flow(&mut self, response: Response, caller: &Caller) -> ControlFlow<()> {
        if caller.is_framework {
            let error = Error::bad_request(
                "go.micro.server",
                "the endpoint answers with a stream; call it as one",
            );
            self.fail(caller, &error, false).await;
            self.close().await;
            return ControlFlow::Break(());
        }
        self.output.clear();
        self.output.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        let content_type = match response.content_type.is_empty() {
            true => &caller.content_type,
            false => &response.content_type,
        };
        write_content_type(&mut self.output, content_type);
        // HTTP/1.0 knows no chunks: there the end of the connection is the end of the body.
        if caller.http11 {
            self.output.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        if let Err(error) = write_rest(&mut self.output, &response.metadata, false) {
            self.fail(caller, &error, false).await;
            self.close().await;
            return ControlFlow::Break(());
        }
        let mut body = response.body;
        loop {
            if !self.write(&[]).await {
                return ControlFlow::Break(());
            }
            self.output.clear();
            let mut next = Box::pin(body.message());
            let Some(message) = self.until_gone(next.as_mut()).await else {
                return ControlFlow::Break(());
            };
            drop(next);
            let chunk = match message {
                // An empty chunk would be the end.
                Some(Ok(message)) if message.is_empty() => continue,
                Some(Ok(message)) => message,
                Some(Err(error)) => Bytes::from(error.to_json() + "\n"),
                None => {
                    if caller.http11 {
                        let _ = self.io.write_all(b"0\r\n\r\n").await;
                    }
                    self.close().await;
                    return ControlFlow::Break(());
                }
            };
            if caller.http11 {
                self.output
                    .extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            }
            self.output.extend_from_slice(&chunk);
            if caller.http11 {
                self.output.extend_from_slice(b"\r\n");
            }
        }
    }

    async fn refuse(mut self, bad: BadHead) {
        let caller = Caller {
            content_type: Text::new(),
            is_framework: false,
            http11: true,
        };
        self.fail(&caller, &bad.into(), false).await;
        self.close().await;
    }

    /// Closes an idle connection so that a request that crosses the end is known not to have been handled.
    async fn say_goodbye(mut self) {
        self.output.clear();
        let farewell = format!(
            "HTTP/1.1 503 Service Unavailable\r\n{GOODBYE}: idle\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        self.output.extend_from_slice(farewell.as_bytes());
        if self.write(&[]).await {
            self.close().await;
        }
    }

    /// Ends this direction and waits a little for the peer to end its own: closing at once could destroy what is
    /// still on its way to it.
    async fn close(&mut self) {
        // On the heap: kept in the connection's future, it would be there all the time.
        let mut rest = vec![0; 4096];
        let discard = async {
            let _ = self.io.shutdown().await;
            let mut left = LINGER_BYTES;
            while let Ok(count @ 1..) = self.io.read(&mut rest).await {
                left = left.saturating_sub(count as u64);
                if left == 0 {
                    return;
                }
            }
        };
        let _ = timeout(LINGER, discard).await;
    }
}

pub(super) fn body_too_slow(limit: Duration) -> BadHead {
    BadHead::new(
        408,
        format!("the body took longer than {limit:?}, the limit body_timeout"),
    )
}

/// What an answer must know of its request.
pub(super) struct Caller {
    pub(super) content_type: Text,
    /// Whether a framework calls, which reads errors from the header, rather than a person with curl.
    pub(super) is_framework: bool,
    pub(super) http11: bool,
}

impl Caller {
    pub(super) fn of(head: &Head, request: &Request) -> Self {
        let is_framework = head.is_framework || !request.service.is_empty();
        Self {
            content_type: request.content_type.clone(),
            is_framework,
            http11: head.http11,
        }
    }
}

/// A request from a message that was read whole. Its body is moved out of the message.
pub(super) fn request(message: &mut Message, peer: Option<Peer>, now: Instant) -> Request {
    let Message {
        head,
        text: bytes,
        content_type,
        body,
    } = message;
    Request::from_parts(RequestParts {
        service: text(bytes, head.service),
        endpoint: text(bytes, head.endpoint),
        content_type: content_type.clone(),
        metadata: head.metadata(bytes),
        deadline: head.timeout.and_then(|left| now.checked_add(left)),
        kind: CallKind::Unary,
        idempotent: false,
        // Over HTTP the id is a counter that says nothing; answers follow in order.
        id: Text::new(),
        peer,
        extensions: http::Extensions::new(),
        body: std::mem::take(body).into(),
    })
}

/// Comes before the length, so that callers find the beginnings of answers alike.
pub(super) fn write_content_type(out: &mut Vec<u8>, content_type: &str) {
    if !content_type.is_empty() {
        write_known_header(out, "Content-Type", content_type);
    }
}

fn write_rest(out: &mut Vec<u8>, metadata: &Metadata, keep_alive: bool) -> Result<()> {
    for (name, value) in wire::travelling(metadata) {
        write_header(out, name, value)?;
    }
    if !keep_alive {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

pub(super) fn write_error(out: &mut Vec<u8>, caller: &Caller, error: &Error, keep_alive: bool) {
    let metadata = Metadata::new();
    let text = wire::error_text(error);
    if caller.is_framework {
        let body = wire::error_body(&caller.content_type, &text);
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        write_content_type(out, &caller.content_type);
        write_length(out, body.len());
        write_known_header(out, "Micro-Error", &text);
        let _ = write_rest(out, &metadata, keep_alive);
        out.extend_from_slice(&body);
        return;
    }
    let body = error.to_json() + "\n";
    let status = http_status(error);
    let reason = status.canonical_reason().unwrap_or("Error");
    out.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
    write_content_type(out, "application/json");
    write_length(out, body.len());
    write_known_header(out, "Micro-Error", &text);
    let _ = write_rest(out, &metadata, keep_alive);
    out.extend_from_slice(body.as_bytes());
}

/// The HTTP status for an error, for those who read statuses.
pub(super) fn http_status(error: &Error) -> http::StatusCode {
    u16::try_from(error.code())
        .ok()
        .filter(|code| (400..600).contains(code))
        .and_then(|code| http::StatusCode::from_u16(code).ok())
        .unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR)
}
