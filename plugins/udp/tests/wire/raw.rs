//! Ends that know the datagrams only by their description.

use std::sync::Arc;
use std::time::Duration;

use micro_core::handler::handler_fn;
use micro_core::registry::Node;
use micro_core::transport::Listener;
use micro_core::{Handler, Request, Response, Result, Transport};
use micro_udp::{UdpConfig, UdpTransport};
use tokio::net::UdpSocket;

pub(crate) const HELLO: u8 = 1;
pub(crate) const WELCOME: u8 = 2;
pub(crate) const CALL: u8 = 3;
pub(crate) const ANSWER: u8 = 4;
pub(crate) const ERROR: u8 = 5;
pub(crate) const WORKING: u8 = 6;
pub(crate) const REFUSED: u8 = 7;
pub(crate) const STRANGER: u8 = 8;
pub(crate) const CANCEL: u8 = 9;
pub(crate) const GOODBYE: u8 = 10;
pub(crate) const SEEN: u8 = 11;

/// Waits for what should happen at once.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, future)
        .await
        .expect("not within 20 s")
}

/// Serves a function.
pub(crate) async fn serve<F, Fut>(config: UdpConfig, function: F) -> Box<dyn Listener>
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response>> + Send + 'static,
{
    let handler = Arc::new(handler_fn(function));
    UdpTransport::new(config)
        .listen("127.0.0.1:0", handler)
        .await
        .unwrap()
}

/// Serves what answers each request with its own body.
pub(crate) async fn serve_echo() -> Box<dyn Listener> {
    serve(UdpConfig::default(), |mut request| async move {
        Ok(Response::new(request.take_body()))
    })
    .await
}

pub(crate) async fn dial(address: &str, config: UdpConfig) -> Arc<dyn Handler> {
    UdpTransport::new(config)
        .dial(&Node::new("node-1", address))
        .await
        .unwrap()
}

pub(crate) fn datagram(kind: u8, token: u64, caller: u64, number: u64, body: &[u8]) -> Vec<u8> {
    let numbers = [token, caller, number].map(u64::to_be_bytes).concat();
    [b"MU\x01", &[kind][..], &numbers, body].concat()
}

/// The body of a call that says that its caller waits for nothing before a number.
pub(crate) fn call_body(oldest: u64, message: &[u8]) -> Vec<u8> {
    let head = b"\xff\xff\xff\xff\xff\xff\xff\xff\0\x01a\0\x03B.C\0\0\0\0";
    [&oldest.to_be_bytes(), &head[..], message].concat()
}

/// A caller that was welcomed.
pub(crate) struct RawCaller {
    pub(crate) socket: UdpSocket,
    pub(crate) token: u64,
}

impl RawCaller {
    pub(crate) async fn new(address: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(address).await.unwrap();
        let mut caller = Self { socket, token: 0 };
        caller.send(HELLO, 7, 0, &[]).await;
        let (kind, welcome) = caller.next().await;
        assert_eq!((kind, welcome.len()), (WELCOME, 28));
        caller.token = u64::from_be_bytes(welcome[4..12].try_into().unwrap());
        caller
    }

    pub(crate) async fn send(&self, kind: u8, caller: u64, number: u64, body: &[u8]) {
        let datagram = datagram(kind, self.token, caller, number, body);
        self.socket.send(&datagram).await.unwrap();
    }

    /// The next datagram: its kind and all of it.
    pub(crate) async fn next(&self) -> (u8, Vec<u8>) {
        let mut buffer = vec![0; 65_536];
        let length = soon(self.socket.recv(&mut buffer)).await.unwrap();
        buffer.truncate(length);
        (buffer[3], buffer)
    }
}
