//! Encryption of connections, by rustls on ring.

use std::fmt::Display;
use std::sync::Arc;

use micro_core::{Error, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::config::NatsTls;
use crate::error::{Role, misconfigured};

pub(crate) fn client_config(tls: &NatsTls, role: Role) -> Result<ClientConfig> {
    let wrong = |what: &str, problem: &dyn Display| wrong(role, what, problem);
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.authorities, "the authorities", role)? {
        let added = roots.add(certificate);
        added.map_err(|problem| wrong("the authorities", &problem))?;
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|problem| wrong("the versions", &problem))?;
    let builder = match &tls.server_name {
        None => builder.with_root_certificates(roots),
        Some(name) => {
            let name =
                ServerName::try_from(name.clone()).map_err(|problem| wrong("the server's name", &problem))?;
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|problem| wrong("the authorities", &problem))?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Named { name, verifier }))
        }
    };
    let Some(identity) = &tls.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(|problem| wrong("the key", &problem))?;
    let chain = certificates(&identity.certificates, "the certificate", role)?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|problem| wrong("the certificate", &problem))
}

/// Verifies as usual, but that the server must prove this name and not the one in its address.
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

fn certificates(pem: &[u8], what: &str, role: Role) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|problem| wrong(role, what, &problem))?;
    if found.is_empty() {
        return Err(wrong(role, what, &"it holds no certificate in PEM"));
    }
    Ok(found)
}

fn wrong(role: Role, what: &str, problem: &dyn Display) -> Error {
    misconfigured(role, format!("TLS: {what} cannot be used: {problem}"))
}
