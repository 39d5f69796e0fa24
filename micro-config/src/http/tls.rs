//! Encrypted connections, by rustls on ring.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::{Error, ErrorKind, Result};

/// Makes connections, encrypted or not, as the address says.
pub(super) fn connector(authorities: &[u8], timeout: Duration) -> Result<HttpsConnector<HttpConnector>> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(timeout));
    http.set_nodelay(true);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities) {
        let added = roots.add(certificate.map_err(|problem| wrong(&problem))?);
        added.map_err(|problem| wrong(&problem))?;
    }
    if roots.is_empty() && !authorities.is_empty() {
        return Err(wrong(&"they hold no certificate in PEM"));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|problem| wrong(&problem))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http();
    Ok(builder.enable_http1().wrap_connector(http))
}

fn wrong(problem: &dyn Display) -> Error {
    Error::new(
        ErrorKind::Misused,
        format_args!("TLS: the authorities cannot be used: {problem}"),
    )
}
