//! Connections as transports over TCP have them, encrypted or not. For those who write such a transport.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::http::connection::{Io, prepare};
use super::http::tls;
use super::http::{Tls, listener};
use crate::Result;

/// A connection: sends at once, notices when the other machine vanished, and is encrypted where it was asked for.
pub struct Socket(Io);

/// Makes connections to listeners.
#[derive(Clone)]
pub struct Connector(tls::Connector);

/// Makes connections of what a listener accepted.
#[derive(Clone)]
pub struct Acceptor(Option<TlsAcceptor>);

/// Binds `host:port`, `:port`, or the first free port of `host:first-last`.
///
/// # Errors
///
/// When the address is malformed or taken; the message names it.
pub async fn bind(address: &str) -> Result<TcpListener> {
    listener::bind(address).await
}

/// Whether the other side refused this side's certificate, which it does before it reads a request.
pub fn is_refused_certificate(problem: &io::Error) -> bool {
    tls::is_refusal(problem)
}

impl Connector {
    /// For connections with this encryption, if any, over which one of the protocols (names of ALPN) is spoken.
    ///
    /// # Errors
    ///
    /// When certificates or keys cannot be used.
    pub fn new(tls: Option<&Tls>, protocols: &[&str]) -> Result<Self> {
        tls::Connector::new(tls, protocols).map(Self)
    }

    /// Connects to `host:port`. Sets no limit on the time. Cancelled, it leaves no connection behind.
    ///
    /// # Errors
    ///
    /// When nobody listens there, or the two cannot agree on the encryption.
    pub async fn connect(&self, address: &str) -> io::Result<Socket> {
        self.0.connect(address).await.map(Socket)
    }

    /// The same for one of the addresses of a host that is called by its name: `authority`, also `host:port`, has the
    /// name that an encrypted server must prove where [`Tls::server_name`] names none.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect).
    pub async fn connect_as(&self, address: &str, authority: &str) -> io::Result<Socket> {
        self.0.connect_as(address, authority).await.map(Socket)
    }
}

impl Acceptor {
    /// For connections with this encryption, if any, over which one of the protocols (names of ALPN) is spoken.
    ///
    /// # Errors
    ///
    /// When certificates or keys cannot be used.
    pub fn new(tls: Option<&Tls>, protocols: &[&str]) -> Result<Self> {
        match tls {
            Some(tls) => tls.acceptor(protocols).map(Self),
            None => Ok(Self(None)),
        }
    }

    /// Whether it encrypts. With [`Tls`] that has no identity it does not, and must not listen.
    pub fn is_encrypted(&self) -> bool {
        self.0.is_some()
    }

    /// Makes a connection of an accepted one. Sets no limit on the time. Cancelled, it closes the connection.
    ///
    /// # Errors
    ///
    /// When the caller is gone, or the two cannot agree on the encryption.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Socket> {
        prepare(&stream)?;
        match &self.0 {
            None => Ok(Socket(Io::Tcp(stream))),
            Some(acceptor) => {
                let stream = TlsStream::Server(acceptor.accept(stream).await?);
                Ok(Socket(Io::Tls(Box::new(stream))))
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            Io::Tcp(_) => "Socket",
            Io::Tls(_) => "Socket(encrypted)",
        })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Connector")
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Acceptor")
    }
}
