//! Encrypted connections to agents, by rustls on ring.

use std::fmt::Display;
use std::sync::Arc;

use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::config::{ConsulAgents, ConsulTls};

/// Makes connections, encrypted or not, as the address of each agent says.
///
/// # Errors
///
/// Says what cannot be used.
pub(crate) fn connector(agents: &ConsulAgents) -> Result<HttpsConnector<HttpConnector>, String> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(agents.connect_timeout));
    http.set_nodelay(true);
    let none = ConsulTls::default();
    let tls = agents.tls.as_ref().unwrap_or(&none);
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(client_config(tls)?)
        .https_or_http();
    let builder = match &tls.server_name {
        Some(name) => {
            let name =
                ServerName::try_from(name.clone()).map_err(|problem| wrong("the server's name", problem))?;
            builder.with_server_name_resolver(FixedServerNameResolver::new(name))
        }
        None => builder,
    };
    Ok(builder.enable_http1().wrap_connector(http))
}

fn client_config(tls: &ConsulTls) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    // Without authorities nobody is believed.
    if !tls.authorities.is_empty() {
        for certificate in certificates(&tls.authorities, "the authorities")? {
            let added = roots.add(certificate);
            added.map_err(|problem| wrong("the authorities", problem))?;
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|problem| wrong("the versions", problem))?
        .with_root_certificates(roots);
    let Some(identity) = &tls.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(|problem| wrong("the key", problem))?;
    let chain = certificates(&identity.certificates, "the certificate")?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|problem| wrong("the certificate", problem))
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|problem| wrong(what, problem))?;
    if found.is_empty() {
        return Err(wrong(what, "it holds no certificate in PEM"));
    }
    Ok(found)
}

fn wrong(what: &str, problem: impl Display) -> String {
    format!("TLS: {what} cannot be used: {problem}")
}
