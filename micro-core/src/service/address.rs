//! Which address others reach a service at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::error::SERVER;
use crate::{Error, Result};

/// The address to register for a listening address. Addresses that are not `ip:port` are taken as they are: message
/// queues have names.
pub(crate) fn advertised(listening: &str, advertise: Option<&str>) -> Result<String> {
    let bound = listening.parse::<SocketAddr>().ok();
    let (host, port) = match (advertise, bound) {
        (None, None) => return Ok(listening.to_owned()),
        (None, Some(bound)) => (bound.ip().to_string(), bound.port()),
        (Some(advertise), bound) => split(advertise, bound)?,
    };
    Ok(match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => SocketAddr::new(own_address(ip), port).to_string(),
        Ok(ip) => SocketAddr::new(ip, port).to_string(),
        Err(_) => format!("{host}:{port}"),
    })
}

fn split(advertise: &str, bound: Option<SocketAddr>) -> Result<(String, u16)> {
    let bare: Option<IpAddr> = advertise.trim_matches(['[', ']']).parse().ok();
    let port_of_listener = || {
        bound.map(|bound| bound.port()).ok_or_else(|| {
            Error::bad_request(
                SERVER,
                format!("advertised address {advertise:?} needs a port: host:port"),
            )
        })
    };
    if let Some(ip) = bare {
        return Ok((ip.to_string(), port_of_listener()?));
    }
    match advertise.rsplit_once(':') {
        Some((host, port)) => {
            let port = port.parse().map_err(|_| {
                Error::bad_request(
                    SERVER,
                    format!("advertised address {advertise:?}: {port:?} is no port"),
                )
            })?;
            let host = if host.is_empty() { "0.0.0.0" } else { host };
            Ok((host.trim_matches(['[', ']']).to_owned(), port))
        }
        None => Ok((advertise.to_owned(), port_of_listener()?)),
    }
}

/// The address of the interface that leads out of this machine, else the loopback's. Sends nothing: a UDP socket that
/// is connected only looks up its route. 192.0.2.1 and 2001:db8::1 are reserved for documentation.
fn own_address(unspecified: IpAddr) -> IpAddr {
    let loopback = if unspecified.is_ipv4() {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else {
        IpAddr::V6(Ipv6Addr::LOCALHOST)
    };
    let via = |bind: &str, out: &str| {
        let socket = UdpSocket::bind(bind).ok()?;
        socket.connect(out).ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
    };
    let ipv4 = || via("0.0.0.0:0", "192.0.2.1:9");
    let ipv6 = || via("[::]:0", "[2001:db8::1]:9");
    // A socket on [::] serves IPv4 as well, which more callers can reach.
    ipv4()
        .or_else(|| if unspecified.is_ipv6() { ipv6() } else { None })
        .unwrap_or(loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_advertised_goes_before_where_it_listens() {
        let of = |listening, advertise| advertised(listening, advertise).unwrap();
        assert_eq!(of("127.0.0.1:80", None), "127.0.0.1:80");
        assert_eq!(of("127.0.0.1:80", Some("10.0.0.1")), "10.0.0.1:80");
        assert_eq!(of("127.0.0.1:80", Some("10.0.0.1:81")), "10.0.0.1:81");
        assert_eq!(of("127.0.0.1:80", Some("example.org")), "example.org:80");
        assert_eq!(of("127.0.0.1:80", Some("[::1]:81")), "[::1]:81");
        assert_eq!(of("[::1]:80", Some("::1")), "[::1]:80");
        assert_eq!(of("queue-name", None), "queue-name");
        assert!(advertised("queue-name", Some("host")).is_err());
        assert!(advertised("127.0.0.1:80", Some("host:http")).is_err());
    }

    #[test]
    fn all_interfaces_become_one_address() {
        let address: SocketAddr = advertised("0.0.0.0:80", None).unwrap().parse().unwrap();
        assert!(!address.ip().is_unspecified());
        assert_eq!(address.port(), 80);
    }
}
