//! Connections to the API server, encrypted or not.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use micro_core::Result;
use micro_core::backend::{Role, ServerTls};
use micro_core::transport::socket::{self, Socket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_service::Service;

use crate::error::KUBERNETES;

/// Connects to one server.
#[derive(Clone)]
pub(crate) struct Connector {
    /// `host:port`.
    address: Arc<str>,
    sockets: socket::Connector,
    timeout: Duration,
}

impl Connector {
    /// # Errors
    ///
    /// When what is to encrypt cannot be used.
    pub(crate) fn new(
        address: String,
        tls: Option<&ServerTls>,
        timeout: Duration,
        role: Role,
    ) -> Result<Self> {
        Ok(Self {
            address: address.into(),
            sockets: KUBERNETES.connector(role, tls, &["h2", "http/1.1"])?,
            timeout,
        })
    }

    async fn connect(self) -> io::Result<TokioIo<Stream>> {
        match tokio::time::timeout(self.timeout, self.sockets.connect(&self.address)).await {
            Ok(connected) => connected.map(|socket| TokioIo::new(Stream(socket))),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("connecting took longer than {:?}", self.timeout),
            )),
        }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

/// A connection that knows which HTTP was agreed on.
pub(crate) struct Stream(Socket);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self.0.protocol() {
            Some(b"h2") => Connected::new().negotiated_h2(),
            _ => Connected::new(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
