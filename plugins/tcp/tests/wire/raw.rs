//! Ends of connections that know the frames only by their description, and what listens for them.

use std::sync::Arc;
use std::time::Duration;

use micro_core::handler::handler_fn;
use micro_core::registry::Node;
use micro_core::transport::Listener;
use micro_core::{Handler, Request, Response, Result, Transport};
use micro_tcp::{TcpConfig, TcpTransport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

pub(crate) const CALL: u8 = 1;
pub(crate) const ANSWER: u8 = 2;
pub(crate) const PART: u8 = 3;
pub(crate) const DATA: u8 = 4;
pub(crate) const END: u8 = 5;
pub(crate) const ERROR: u8 = 6;
pub(crate) const CANCEL: u8 = 7;
pub(crate) const WINDOW: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;
pub(crate) const GOODBYE: u8 = 11;

pub(crate) const MORE: u8 = 1;
pub(crate) const MESSAGES: u8 = 4;
pub(crate) const NAMES: u8 = 32;
pub(crate) const SEVERAL: u8 = 64;

/// What a side says first that takes much.
pub(crate) const PREAMBLE: [u8; 40] =
    *b"MICRO-TCP\r\n\r\n\x01\0\0\0\x10\0\0\0\x80\0\0\0\x10\0\0\0\x01\0\0\x01\0\0\0\0\0\x04\0";

/// Waits for what should happen at once.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, future)
        .await
        .expect("not within 20 s")
}

/// Serves a function.
pub(crate) async fn serve<F, Fut>(config: TcpConfig, function: F) -> Box<dyn Listener>
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response>> + Send + 'static,
{
    let transport = TcpTransport::new(config).unwrap();
    let handler = Arc::new(handler_fn(function));
    transport.listen("127.0.0.1:0", handler).await.unwrap()
}

/// Serves what answers each request with its own body.
pub(crate) async fn serve_echo(config: TcpConfig) -> Box<dyn Listener> {
    serve(config, |mut request| async move {
        Ok(Response::new(request.take_body()))
    })
    .await
}

pub(crate) async fn dial(address: &str, config: TcpConfig) -> Arc<dyn Handler> {
    let transport = TcpTransport::new(config).unwrap();
    transport.dial(&Node::new("node-1", address)).await.unwrap()
}

/// A frame as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawFrame {
    pub(crate) call: u32,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn frame(call: u32, kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [
        &length.to_be_bytes()[..],
        &call.to_be_bytes(),
        &[kind, flags],
        payload,
    ]
    .concat()
}

/// The head of a call that is not numbered, and its message.
pub(crate) fn call_payload(service: &str, endpoint: &str, rest: &[u8]) -> Vec<u8> {
    let content_type = "application/json";
    let mut payload = vec![0, 0];
    for name in [service, endpoint, content_type] {
        payload.extend_from_slice(&u16::try_from(name.len()).unwrap().to_be_bytes());
    }
    for name in [service, endpoint, content_type] {
        payload.extend_from_slice(name.as_bytes());
    }
    payload.extend_from_slice(rest);
    payload
}

/// A call of one message.
pub(crate) fn call(number: u32, message: &[u8]) -> Vec<u8> {
    frame(number, CALL, NAMES, &call_payload("a", "B.C", message))
}

/// One end of a connection.
pub(crate) struct RawEnd(pub(crate) TcpStream);

impl RawEnd {
    /// Connects and says what is said first, and reads what comes back.
    pub(crate) async fn connect(address: &str) -> Self {
        let mut end = Self(TcpStream::connect(address).await.unwrap());
        end.send(&PREAMBLE).await;
        end.read_preamble().await;
        end
    }

    pub(crate) async fn read_preamble(&mut self) -> [u8; 40] {
        let mut preamble = [0; 40];
        soon(self.0.read_exact(&mut preamble)).await.unwrap();
        preamble
    }

    /// Sends; whoever closed already may not want it.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    /// The next frame, `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<RawFrame> {
        let mut header = [0; 10];
        soon(self.0.read_exact(&mut header)).await.ok()?;
        let length = u32::from_be_bytes(header[..4].try_into().unwrap());
        let mut payload = vec![0; length as usize];
        soon(self.0.read_exact(&mut payload)).await.ok()?;
        Some(RawFrame {
            call: u32::from_be_bytes(header[4..8].try_into().unwrap()),
            kind: header[8],
            flags: header[9],
            payload,
        })
    }

    /// The reason that a goodbye gives, which must come before the end.
    pub(crate) async fn goodbye(&mut self) -> String {
        loop {
            let frame = self.next().await.expect("the connection ended without a goodbye");
            if frame.kind == GOODBYE {
                return String::from_utf8_lossy(&frame.payload[4..]).into_owned();
            }
        }
    }
}

/// Listens, and lets a function speak on each connection that comes, after the first words.
pub(crate) async fn accept<F, Fut>(speak: F) -> (String, AbortOnDropHandle<()>)
where
    F: Fn(RawEnd) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = AbortOnDropHandle::new(tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let mut end = RawEnd(stream);
            end.read_preamble().await;
            end.send(&PREAMBLE).await;
            connections.spawn(speak(end));
        }
    }));
    (address, server)
}
