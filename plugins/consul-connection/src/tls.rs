//! Connections to agents, encrypted or not.

use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use micro_core::Result;
use micro_core::backend::Role;
use rustls::pki_types::ServerName;

use crate::config::ConsulAgents;
use crate::error::CONSUL;

/// Makes connections, encrypted or not, as the address of each agent says.
///
/// # Errors
///
/// Says what cannot be used.
pub(crate) fn connector(agents: &ConsulAgents, role: Role) -> Result<HttpsConnector<HttpConnector>> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(agents.connect_timeout));
    http.set_nodelay(true);
    let tls = agents.tls.as_ref();
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(CONSUL.client_config(role, tls)?)
        .https_or_http();
    let builder = match tls.and_then(|tls| tls.server_name.clone()) {
        Some(name) => {
            let name = ServerName::try_from(name);
            let name = name.map_err(|problem| CONSUL.misconfigured(role, problem))?;
            builder.with_server_name_resolver(FixedServerNameResolver::new(name))
        }
        None => builder,
    };
    Ok(builder.enable_http1().wrap_connector(http))
}
