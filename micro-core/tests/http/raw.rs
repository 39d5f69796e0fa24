//! Connections without a transport: what is sent and received is bytes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use micro_core::registry::Node;
use micro_core::transport::http::HttpConfig;
use micro_core::transport::{HttpTransport, Listener};
use micro_core::{Handler, Request, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// What Go Micro put on the wire.
pub fn capture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../integration-tests/captures");
    std::fs::read(format!("{folder}/{name}.bin")).unwrap()
}

/// Fails a test that hangs.
pub async fn within<F: Future>(future: F) -> F::Output {
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, future)
        .await
        .expect("done within 30 s")
}

/// Fails a whole test that hangs, whatever it waits for.
pub async fn bounded(test: impl Future<Output = ()>) {
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, Box::pin(test))
        .await
        .expect("a test done within 60 s");
}

/// A message as a simple and strict reader of its own sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub first_line: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Message {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.as_str())
    }

    pub fn status(&self) -> u16 {
        self.first_line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The first message of some bytes, and how many it takes. `None`: it is not complete.
    pub fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let head_end = find(bytes, b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..head_end]).unwrap();
        let mut lines = head.split("\r\n");
        let mut message = Self {
            first_line: lines.next().unwrap().to_owned(),
            headers: lines
                .map(|line| line.split_once(": ").unwrap())
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: Bytes::new(),
        };
        let start = head_end + 4;
        if message.header("Transfer-Encoding").is_some() {
            let (body, length) = unchunk(&bytes[start..])?;
            message.body = body.into();
            return Some((message, start + length));
        }
        let length: usize = message
            .header("Content-Length")
            .map_or(0, |length| length.parse().unwrap());
        message.body = Bytes::copy_from_slice(bytes.get(start..start + length)?);
        Some((message, start + length))
    }

    /// All messages of some bytes, which must hold nothing else.
    pub fn all(mut bytes: &[u8]) -> Vec<Self> {
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            let (message, length) = Self::parse(bytes).expect("whole messages");
            messages.push(message);
            bytes = &bytes[length..];
        }
        messages
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn unchunk(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = find(&bytes[at..], b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[at..at + line]).unwrap(), 16).unwrap();
        at += line + 2;
        body.extend_from_slice(bytes.get(at..at + size)?);
        at += size;
        bytes.get(at..at + 2)?;
        at += 2;
        if size == 0 {
            return Some((body, at));
        }
    }
}

/// One end of a connection.
pub struct Raw {
    pub stream: TcpStream,
    received: Vec<u8>,
}

impl Raw {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            received: Vec::new(),
        }
    }

    pub async fn connect(address: &str) -> Self {
        Self::new(TcpStream::connect(address).await.unwrap())
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends pieces of some bytes so that they likely arrive one by one.
    pub async fn send_in(&mut self, pieces: impl IntoIterator<Item = &[u8]>) {
        for piece in pieces {
            self.send(piece).await;
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// The next message; `None` when the connection ended before it.
    pub async fn message(&mut self) -> Option<Message> {
        loop {
            if let Some((message, length)) = Message::parse(&self.received) {
                self.received.drain(..length);
                return Some(message);
            }
            if !matches!(self.stream.read_buf(&mut self.received).await, Ok(1..)) {
                assert!(
                    self.received.is_empty(),
                    "cut: {:?}",
                    String::from_utf8_lossy(&self.received)
                );
                return None;
            }
        }
    }

    /// Everything until the connection ends.
    pub async fn rest(&mut self) -> Vec<u8> {
        while matches!(self.stream.read_buf(&mut self.received).await, Ok(1..)) {}
        std::mem::take(&mut self.received)
    }

    /// Sends a request and receives its answer.
    pub async fn exchange(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.send(request).await;
        self.message().await.expect("an answer")
    }
}

pub async fn listen(handler: Arc<dyn Handler>, config: HttpConfig) -> Box<dyn Listener> {
    let transport = HttpTransport::new(config).unwrap();
    transport.listen("127.0.0.1:0", handler).await.unwrap()
}

/// The greeter, served.
pub async fn greeter() -> Box<dyn Listener> {
    listen(crate::greeter::handler(), HttpConfig::default()).await
}

/// What a person sends to the greeter: no more than it needs.
pub fn hello(name: &str) -> String {
    let body = format!("{{\"name\":\"{name}\"}}");
    format!(
        "POST / HTTP/1.1\r\nContent-Type: application/json\r\nMicro-Endpoint: Greeter.Hello\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub async fn assert_greets(address: &str) {
    let answer = Raw::connect(address).await.exchange(hello("World")).await;
    assert_eq!(answer.json()["greeting"], "Hello World");
}

/// A server that does what a test says with each connection, one after the other.
pub struct Fake {
    pub address: String,
    _task: AbortOnDropHandle<()>,
}

impl Fake {
    pub async fn start<F, Fut>(serve: F) -> Self
    where
        F: Fn(usize, Raw) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(number, Raw::new(stream)));
            }
        });
        Self {
            address,
            _task: AbortOnDropHandle::new(task),
        }
    }
}

pub async fn dial(address: &str, config: HttpConfig) -> Arc<dyn Handler> {
    let transport = HttpTransport::new(config).unwrap();
    let node = Node {
        address: address.to_owned(),
        ..Node::default()
    };
    transport.dial(&node).await.unwrap()
}

pub fn request(body: impl Into<Bytes>) -> Request {
    Request::new("interop.greeter", "Greeter.Hello", body.into())
}
