//! Encryption of the connections, by rustls on ring.

use std::sync::Arc;

use micro_core::{Error, Result};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::config::NsqTls;
use crate::error;

/// What encrypts a connection.
#[derive(Clone)]
pub(crate) struct Encryption {
    pub(crate) connector: TlsConnector,
    server_name: Option<String>,
}

impl Encryption {
    pub(crate) fn new(tls: &NsqTls) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&tls.authorities, "the authorities (MICRO_NSQ_CACERT)")? {
            let added = roots.add(certificate);
            added.map_err(|problem| wrong("the authorities (MICRO_NSQ_CACERT)", problem))?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|problem| wrong("the versions", problem))?
            .with_root_certificates(roots);
        let config = match &tls.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = certificates(&identity.certificates, "the certificate (MICRO_NSQ_CERT)")?;
                let key = PrivateKeyDer::from_pem_slice(&identity.key)
                    .map_err(|problem| wrong("the key (MICRO_NSQ_KEY)", problem))?;
                let config = builder.with_client_auth_cert(chain, key);
                config.map_err(|problem| wrong("the certificate (MICRO_NSQ_CERT)", problem))?
            }
        };
        if let Some(name) = &tls.server_name {
            prove(name)?;
        }
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            server_name: tls.server_name.clone(),
        })
    }

    /// The name that an nsqd must prove.
    pub(crate) fn name(&self, address: &str) -> Result<ServerName<'static>> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        prove(
            self.server_name
                .as_deref()
                .unwrap_or(host.trim_matches(['[', ']'])),
        )
    }
}

fn prove(name: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(name.to_owned())
        .map_err(|problem| wrong(&format!("the name {name:?} for an nsqd to prove"), problem))
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|problem| wrong(what, problem))?;
    match found.is_empty() {
        true => Err(wrong(what, "it holds no certificate in PEM")),
        false => Ok(found),
    }
}

fn wrong(what: &str, problem: impl std::fmt::Display) -> Error {
    error::misconfigured(format_args!("TLS: {what} cannot be used: {problem}"))
}
