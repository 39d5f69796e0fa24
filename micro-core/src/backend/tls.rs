//! Encryption towards a backend's servers.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use crate::Result;
use crate::transport::http::tls::{self, wrong};
use crate::transport::http::{Identity, Tls};

/// How to speak TLS with a backend's servers. All texts are PEM.
#[derive(Clone, Default)]
pub struct ServerTls {
    /// The authorities whose servers are believed.
    pub authorities: Vec<u8>,
    /// What this side shows, for servers that want certificates of their callers.
    pub identity: Option<Identity>,
    /// The name that the server must prove, when it is not the host of its address.
    pub server_name: Option<String>,
}

impl ServerTls {
    /// The same for connections, with somebody to believe.
    pub(super) fn believing(&self) -> Result<Tls> {
        if self.authorities.is_empty() {
            return Err(wrong("the authorities", "there are none"));
        }
        Ok(Tls {
            identity: self.identity.clone(),
            authorities: self.authorities.clone(),
            server_name: self.server_name.clone(),
            ..Tls::default()
        })
    }
}

impl fmt::Debug for ServerTls {
    // The key is left out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServerTls")
            .field("server_name", &self.server_name)
            .field("shows_certificate", &self.identity.is_some())
            .finish_non_exhaustive()
    }
}

pub(super) fn client_config(tls: Option<&ServerTls>) -> Result<ClientConfig> {
    let Some(tls) = tls else {
        return Tls::default().client_config(&[]);
    };
    let tls = tls.believing()?;
    let mut config = tls.client_config(&[])?;
    if let Some(name) = tls.name()? {
        let roots = tls::authorities(&tls.authorities, "the authorities")?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Tls::provider())
            .build()
            .map_err(|problem| wrong("the authorities", problem))?;
        let named = Named { name, verifier };
        config.dangerous().set_certificate_verifier(Arc::new(named));
    }
    Ok(config)
}

/// Verifies as usual, but that the server must prove this name and not the one that it was dialled by.
#[derive(Debug)]
struct Named {
    name: ServerName<'static>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier
            .verify_server_cert(certificate, intermediates, &self.name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
