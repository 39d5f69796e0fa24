//! Where a registry's servers are, as people write it.

use std::net::Ipv6Addr;

use http::uri::Authority;

/// The whole address of a server that speaks HTTP, such as `http://127.0.0.1:2379`, of what a person wrote: `host`,
/// `host:port`, `:port`, or either with `http://` or `https://` before it. For registries with such servers.
///
/// `port` counts where none is written, and `is_encrypted` says which scheme it is then.
///
/// # Errors
///
/// A sentence that names the address, what is wrong with it, and how to write it.
pub fn server_uri(address: &str, port: u16, is_encrypted: bool) -> Result<String, String> {
    let address = address.trim();
    let wrong = |why: &str| {
        format!(
            "registry address {address:?}: {why}; write host, host:port or http(s)://host:port, such as 127.0.0.1:{port}"
        )
    };
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
        Some(_) => return Err(wrong("the scheme is neither http nor https")),
        None if is_encrypted => ("https", address),
        None => ("http", address),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    // An IPv6 address has colons of its own.
    let host = match rest.parse::<Ipv6Addr>() {
        Ok(_) => format!("[{rest}]"),
        Err(_) if rest.starts_with(':') => format!("127.0.0.1{rest}"),
        Err(_) => rest.to_owned(),
    };
    let authority: Authority = host.parse().map_err(|_| wrong("it is no host"))?;
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return Err(wrong("it is no host"));
    }
    let port = match authority.as_str().len() - authority.host().len() {
        0 => port,
        _ => authority
            .port_u16()
            .filter(|port| *port != 0)
            .ok_or_else(|| wrong("the port is none"))?,
    };
    Ok(format!("{scheme}://{}:{port}", authority.host()))
}
