//! Where a backend's servers are, as people write it.

use std::net::Ipv6Addr;

use http::uri::Authority;

/// The whole address of a server that speaks HTTP, such as `http://127.0.0.1:2379`, of what a person wrote: `host`,
/// `host:port`, `:port`, or either with `http://` or `https://` before it.
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
            "the address {address:?}: {why}; write host, host:port or http(s)://host:port, such as 127.0.0.1:{port}"
        )
    };
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
        Some(_) => return Err(wrong("the scheme is neither http nor https")),
        None if is_encrypted => ("https", address),
        None => ("http", address),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    Ok(format!(
        "{scheme}://{}",
        host_and_port(rest, port).map_err(wrong)?
    ))
}

/// The `host:port` of what a person wrote: `host`, `host:port` or `:port`. An IPv6 address gets its brackets, and no host
/// is this machine. `port` counts where none is written.
///
/// # Errors
///
/// What the text is not.
pub fn host_and_port(text: &str, port: u16) -> Result<String, &'static str> {
    // An IPv6 address has colons of its own.
    let text = match text.parse::<Ipv6Addr>() {
        Ok(_) => format!("[{text}]"),
        Err(_) if text.starts_with(':') => format!("127.0.0.1{text}"),
        Err(_) => text.to_owned(),
    };
    let authority: Authority = text.parse().map_err(|_| "it is no host")?;
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return Err("it is no host");
    }
    let port = match authority.as_str().len() - authority.host().len() {
        0 => port,
        _ => authority
            .port_u16()
            .filter(|port| *port != 0)
            .ok_or("the port is none")?,
    };
    Ok(format!("{}:{port}", authority.host()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_leave_out_what_is_usual() {
        let rows = [
            ("127.0.0.1", "http://127.0.0.1:2379"),
            ("etcd.example:12379", "http://etcd.example:12379"),
            (" http://etcd/ ", "http://etcd:2379"),
            ("https://etcd:1", "https://etcd:1"),
            ("[::1]:99", "http://[::1]:99"),
            ("::1", "http://[::1]:2379"),
            (":99", "http://127.0.0.1:99"),
        ];
        for (address, expected) in rows {
            assert_eq!(server_uri(address, 2379, false).unwrap(), expected);
        }
        assert_eq!(server_uri("etcd", 2379, true).unwrap(), "https://etcd:2379");
    }

    #[test]
    fn what_is_no_address_is_named() {
        for address in [
            "",
            "ftp://etcd",
            "etcd:x",
            "etcd:0",
            "etcd:99999",
            "a b",
            "me@etcd",
            "etcd/path",
        ] {
            let why = server_uri(address, 2379, false).unwrap_err();
            assert!(why.contains(&format!("{address:?}")), "{why}");
        }
    }
}
