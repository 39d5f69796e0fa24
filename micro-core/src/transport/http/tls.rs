//! Encryption of the HTTP transport, by rustls on ring.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::connection::{Io, prepare};
use crate::{Error, Result};

/// Certificates and keys, as PEM.
#[derive(Clone, Default)]
pub struct Tls {
    /// What this side shows: needed to listen, and to dial listeners that ask for it.
    pub identity: Option<Identity>,
    /// The authorities whose servers are believed when dialling. None: no server is.
    pub authorities: Vec<u8>,
    /// Whether callers must show a certificate.
    pub client_certificates: ClientCertificates,
    /// The name that servers must prove, when it is not the host of their address. Registries know nodes by IP
    /// address, which certificates often do not name.
    pub server_name: Option<String>,
    /// Believes every server. Encrypted, but anybody may be at the other end: for trials only.
    pub accept_any_server: bool,
}

/// A certificate chain and its key, as PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate, then those that lead to its authority.
    pub certificates: Vec<u8>,
    /// The key, unencrypted.
    pub key: Vec<u8>,
}

/// Whether a listener wants certificates of its callers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// It does not ask.
    #[default]
    None,
    /// It refuses callers without a certificate of one of these authorities (PEM): mutual TLS.
    Required(Vec<u8>),
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tls")
            .field("identity", &self.identity)
            .field("server_name", &self.server_name)
            .field("accept_any_server", &self.accept_any_server)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Identity")
    }
}

pub(crate) fn wrong(what: &str, problem: impl fmt::Display) -> Error {
    Error::bad_request(
        "go.micro.transport",
        format!("TLS: {what} cannot be used: {problem}"),
    )
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|problem| wrong(what, problem))?;
    if found.is_empty() {
        Err(wrong(what, "it holds no certificate in PEM"))
    } else {
        Ok(found)
    }
}

pub(crate) fn authorities(pem: &[u8], what: &str) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, what)? {
        roots.add(certificate).map_err(|problem| wrong(what, problem))?;
    }
    Ok(roots)
}

impl Identity {
    fn parse(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|problem| wrong("the key", problem))?;
        Ok((certificates(&self.certificates, "the certificate")?, key))
    }
}

impl Tls {
    pub(crate) fn provider() -> Arc<CryptoProvider> {
        Arc::new(ring::default_provider())
    }

    /// What encrypts accepted connections; `None` without an identity, with which one can only dial.
    pub(in crate::transport) fn acceptor(&self, protocols: &[&str]) -> Result<Option<TlsAcceptor>> {
        let Some(identity) = &self.identity else {
            return Ok(None);
        };
        let (chain, key) = identity.parse()?;
        let builder = ServerConfig::builder_with_provider(Self::provider())
            .with_safe_default_protocol_versions()
            .map_err(|problem| wrong("the versions", problem))?;
        let builder = match &self.client_certificates {
            ClientCertificates::None => builder.with_no_client_auth(),
            ClientCertificates::Required(pem) => {
                let roots = Arc::new(authorities(pem, "the callers' authorities")?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, Self::provider())
                    .build()
                    .map_err(|problem| wrong("the callers' authorities", problem))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|problem| wrong("the certificate", problem))?;
        config.alpn_protocols = names(protocols);
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }

    /// The name that servers must prove, where it is not the host of their address.
    pub(crate) fn name(&self) -> Result<Option<ServerName<'static>>> {
        let name = self.server_name.clone().map(ServerName::try_from).transpose();
        name.map_err(|problem| wrong("server_name", problem))
    }

    /// What encrypts the connections that this side makes.
    pub(crate) fn client_config(&self, protocols: &[&str]) -> Result<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Self::provider())
            .with_safe_default_protocol_versions()
            .map_err(|problem| wrong("the versions", problem))?;
        let builder = if self.accept_any_server {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyServer(Self::provider())))
        } else if self.authorities.is_empty() {
            builder.with_root_certificates(RootCertStore::empty())
        } else {
            builder.with_root_certificates(authorities(&self.authorities, "the authorities")?)
        };
        let mut config = match &self.identity {
            Some(identity) => {
                let (chain, key) = identity.parse()?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|problem| wrong("the certificate", problem))?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = names(protocols);
        Ok(config)
    }
}

/// Protocols as a handshake names them.
fn names(protocols: &[&str]) -> Vec<Vec<u8>> {
    protocols
        .iter()
        .map(|protocol| protocol.as_bytes().to_vec())
        .collect()
}

/// Makes connections, encrypted or not.
#[derive(Clone)]
pub(in crate::transport) struct Connector(Option<(TlsConnector, Option<ServerName<'static>>)>);

impl Connector {
    /// For connections without encryption.
    pub(super) fn plain() -> Self {
        Self(None)
    }

    pub(in crate::transport) fn new(tls: Option<&Tls>, protocols: &[&str]) -> Result<Self> {
        let Some(tls) = tls else { return Ok(Self::plain()) };
        let connector = TlsConnector::from(Arc::new(tls.client_config(protocols)?));
        Ok(Self(Some((connector, tls.name()?))))
    }

    pub(in crate::transport) async fn connect(&self, address: &str) -> io::Result<Io> {
        self.connect_as(address, address).await
    }

    /// Connects to an address whose host is to prove the name that stands in another one.
    pub(in crate::transport) async fn connect_as(&self, address: &str, authority: &str) -> io::Result<Io> {
        let stream = TcpStream::connect(address).await?;
        refuse_itself(&stream)?;
        prepare(&stream)?;
        self.encrypt(stream, authority).await
    }

    /// Goes on encrypted, if that is asked for.
    pub(in crate::transport) async fn encrypt(&self, stream: TcpStream, authority: &str) -> io::Result<Io> {
        let Some((connector, name)) = &self.0 else {
            return Ok(Io::Tcp(stream));
        };
        let name = match name {
            Some(name) => name.clone(),
            None => {
                let host = authority
                    .rsplit_once(':')
                    .map_or(authority, |(host, _)| host)
                    .trim_matches(['[', ']']);
                ServerName::try_from(host.to_owned()).map_err(|problem| {
                    io::Error::other(format!("TLS: {host:?} is no name to prove: {problem}"))
                })?
            }
        };
        let stream = connector.connect(name, stream).await.map_err(explained)?;
        Ok(Io::Tls(Box::new(TlsStream::Client(stream))))
    }
}

/// Where nobody listens at a port of this machine, the system may choose just that port for the near end, too, and
/// connects the caller with itself: its request would come back as the answer, and nobody else could listen there.
fn refuse_itself(stream: &TcpStream) -> io::Result<()> {
    if stream.local_addr()? != stream.peer_addr()? {
        return Ok(());
    }
    let problem = "nobody listens there; the connection met itself";
    Err(io::Error::new(io::ErrorKind::ConnectionRefused, problem))
}

/// Says in the terms of the configuration why a handshake failed, where that is known.
fn explained(problem: io::Error) -> io::Error {
    match tls_error(&problem) {
        Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) => {
            io::Error::other("it does not speak TLS, which is configured here")
        }
        Some(rustls::Error::InvalidCertificate(wrong)) => io::Error::other(format!(
            "TLS: its certificate is not believed ({wrong}); see `authorities` and `server_name` of the TLS options"
        )),
        _ => problem,
    }
}

fn tls_error(problem: &io::Error) -> Option<&rustls::Error> {
    problem.get_ref()?.downcast_ref()
}

/// Whether the other side refused this side's certificate, which it does before it reads a request.
pub(in crate::transport) fn is_refusal(problem: &io::Error) -> bool {
    use rustls::AlertDescription as Alert;
    let Some(rustls::Error::AlertReceived(alert)) = tls_error(problem) else {
        return false;
    };
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError
    )
}

/// Whether these are the first bytes of an alert of TLS, by which a server answers what is not TLS.
pub(super) fn is_alert(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x15, 0x03])
}

/// Believes every server.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    #[tokio::test]
    async fn a_connection_that_met_itself_is_refused() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let own = socket.local_addr().unwrap();
        let itself = socket.connect(own).await.unwrap();
        let problem = refuse_itself(&itself).unwrap_err();
        assert_eq!(problem.kind(), io::ErrorKind::ConnectionRefused);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let other = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        assert!(refuse_itself(&other).is_ok());
    }
}
