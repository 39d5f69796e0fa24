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
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use crate::config::KubernetesTls;
use crate::error::{self, Role};

/// Connects to one server.
#[derive(Clone)]
pub(crate) struct Connector {
    /// `host:port`.
    address: Arc<str>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    timeout: Duration,
}

impl Connector {
    /// # Errors
    ///
    /// When what is to encrypt cannot be used.
    pub(crate) fn new(
        host: &str,
        port: u16,
        tls: Option<&KubernetesTls>,
        timeout: Duration,
        role: Role,
    ) -> Result<Self> {
        let tls = match tls {
            None => None,
            Some(tls) => {
                let name = tls.server_name.as_deref().unwrap_or(host);
                let name = ServerName::try_from(name.to_owned()).map_err(|_| {
                    error::misconfigured(role, format!("{name:?} is no name that a certificate can prove"))
                })?;
                Some((TlsConnector::from(Arc::new(encryption(tls, role)?)), name))
            }
        };
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => host.to_owned(),
        };
        Ok(Self {
            address: format!("{host}:{port}").into(),
            tls,
            timeout,
        })
    }

    async fn connect(self) -> io::Result<TokioIo<Stream>> {
        let connecting = async {
            let stream = TcpStream::connect(&*self.address).await?;
            stream.set_nodelay(true)?;
            let Some((connector, name)) = self.tls else {
                return Ok(Stream::plain(stream));
            };
            let stream = connector.connect(name, stream).await?;
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Ok(Stream {
                io: Box::new(stream),
                is_http2,
            })
        };
        match tokio::time::timeout(self.timeout, connecting).await {
            Ok(connected) => connected.map(TokioIo::new),
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

/// Believes the given authorities and nobody else.
fn encryption(tls: &KubernetesTls, role: Role) -> Result<ClientConfig> {
    let wrong = |what: &str, problem: &dyn std::fmt::Display| {
        error::misconfigured(role, format!("{what} cannot be used: {problem}"))
    };
    let certificates = |pem: &[u8], what: &str| -> Result<Vec<CertificateDer<'static>>> {
        let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        match found.map_err(|problem| wrong(what, &problem))? {
            found if found.is_empty() => Err(wrong(what, &"it holds no certificate in PEM")),
            found => Ok(found),
        }
    };
    let mut roots = RootCertStore::empty();
    let authority = "the certificate authority";
    for certificate in certificates(&tls.authorities, authority)? {
        roots
            .add(certificate)
            .map_err(|problem| wrong(authority, &problem))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|problem| wrong("TLS", &problem))?
        .with_root_certificates(roots);
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = certificates(&identity.certificates, "the client's certificate")?;
            let key = PrivateKeyDer::from_pem_slice(&identity.key)
                .map_err(|problem| wrong("the client's key", &problem))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|problem| wrong("the client's certificate", &problem))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection that knows which HTTP was agreed on.
pub(crate) struct Stream {
    io: Box<dyn Io>,
    is_http2: bool,
}

impl Stream {
    fn plain(stream: TcpStream) -> Self {
        Self {
            io: Box::new(stream),
            is_http2: false,
        }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self.is_http2 {
            true => Connected::new().negotiated_h2(),
            false => Connected::new(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
