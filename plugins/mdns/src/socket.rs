//! Sockets: one pair for each interface and address family.
//!
//! Of each pair, one hears the group, and answers and announces, and the other one asks. Answers go to the address
//! that asked, and of several processes that share the group's port only one would get them there; so questions are
//! asked from a port of their own.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use micro_core::Result;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::config::{Interfaces, MdnsConfig};
use crate::error;

const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// A host with many bridges has many interfaces.
const MAX_LINKS: usize = 64;
/// What the kernel may keep until it is read; it gives less where its own limit is lower.
const RECEIVE_BUFFER: usize = 4 << 20;
/// How long one packet may wait for room in the kernel.
const SEND_TIMEOUT: Duration = Duration::from_millis(100);

/// An interface with one of its addresses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The loopback interface comes first: what this machine hears there it need not hear elsewhere.
    not_loopback: bool,
    is_ipv6: bool,
    index: u32,
    address: IpAddr,
    name: String,
}

/// The sockets of one place.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) place: Place,
    group: SocketAddr,
    hear: UdpSocket,
    ask: UdpSocket,
    ask_port: u16,
}

/// All sockets, and the addresses of this machine.
#[derive(Debug, Default)]
pub(crate) struct Links {
    links: Vec<std::sync::Arc<Link>>,
    addresses: Vec<IpAddr>,
}

/// Where a packet came in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Arrival {
    pub(crate) link: usize,
    /// Heard in the group rather than sent to us alone.
    pub(crate) in_group: bool,
    pub(crate) length: usize,
    pub(crate) from: SocketAddr,
}

impl Links {
    /// Opens what the configuration names. Interfaces on which multicast fails are left out.
    pub(crate) async fn open(config: &MdnsConfig) -> Result<Self> {
        let (places, addresses) = places(config)?;
        let mut links = Self {
            links: Vec::new(),
            addresses,
        };
        let mut failures = Vec::new();
        for place in places {
            match Link::open(place.clone(), config.port).await {
                Ok(link) => links.links.push(link.into()),
                Err(error) => failures.push(format!("{} ({}): {error}", place.name, place.address)),
            }
        }
        if links.links.is_empty() {
            return Err(error::unavailable(format!(
                "cannot speak multicast on port {} on any interface [{}]; name a working one, such as lo",
                config.port,
                failures.join(", ")
            )));
        }
        for failure in failures {
            tracing::debug!(failure, "mdns: an interface is left out");
        }
        Ok(links)
    }

    /// The sockets after a look at the interfaces, if they have changed.
    pub(crate) async fn reopened(&self, config: &MdnsConfig) -> Option<Self> {
        let (places, addresses) = places(config).ok()?;
        let mut links = Self {
            links: Vec::new(),
            addresses,
        };
        let mut changed = false;
        for place in &places {
            if let Some(link) = self.links.iter().find(|link| link.place == *place) {
                links.links.push(link.clone());
            } else if let Ok(link) = Link::open(place.clone(), config.port).await {
                links.links.push(link.into());
                changed = true;
            }
        }
        changed |= links.links.len() != self.links.len() || links.addresses != self.addresses;
        changed.then_some(links)
    }

    /// The same without a link whose socket has failed.
    pub(crate) fn without(&self, link: usize) -> Self {
        let mut links = self.links.clone();
        links.remove(link);
        Self {
            links,
            addresses: self.addresses.clone(),
        }
    }

    /// Waits for a packet on any socket. Begins to look behind the one that brought the last, so that none starves.
    pub(crate) fn poll_receive(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
        last: usize,
    ) -> Poll<Result<Arrival, (usize, io::Error)>> {
        for step in 1..=self.links.len() {
            let link = (last + step) % self.links.len();
            for (socket, in_group) in [(&self.links[link].ask, false), (&self.links[link].hear, true)] {
                if let Poll::Ready(received) = poll_socket(socket, context, buffer) {
                    let arrival = |(length, from)| Arrival {
                        link,
                        in_group,
                        length,
                        from,
                    };
                    return Poll::Ready(received.map(arrival).map_err(|error| (link, error)));
                }
            }
        }
        Poll::Pending
    }

    /// Whether a packet came from this machine.
    pub(crate) fn is_local(&self, from: IpAddr) -> bool {
        from.is_loopback() || self.addresses.contains(&from)
    }

    /// Whether we asked it ourselves.
    pub(crate) fn is_own_question(&self, from: SocketAddr) -> bool {
        self.is_local(from.ip()) && self.links.iter().any(|link| link.ask_port == from.port())
    }

    /// Answers the one who asked, through the link where the question was heard.
    pub(crate) async fn answer(&self, arrival: Arrival, packet: &[u8]) {
        let Some(link) = self.links.get(arrival.link) else {
            return;
        };
        send(&link.hear, packet, arrival.from)
            .await
            .unwrap_or_else(log_failure);
        // A firewall may keep a machine from reaching itself by its outer address; Go answers twice as well.
        if !arrival.from.ip().is_loopback() && self.is_local(arrival.from.ip()) {
            let loopback: IpAddr = match arrival.from {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            };
            let again = SocketAddr::new(loopback, arrival.from.port());
            send(&link.hear, packet, again).await.unwrap_or_else(log_failure);
        }
    }

    /// Asks everywhere.
    pub(crate) async fn ask(&self, query: &[u8]) {
        for link in &self.links {
            send(&link.ask, query, link.group)
                .await
                .unwrap_or_else(log_failure);
        }
    }

    /// Tells everyone. Fails when it could be told nowhere.
    pub(crate) async fn tell(&self, packet: &[u8]) -> io::Result<()> {
        let mut told = Err(io::Error::other("no interface is left to send through"));
        for link in &self.links {
            match send(&link.hear, packet, link.group).await {
                Ok(()) => told = Ok(()),
                Err(error) => told = told.or(Err(error)),
            }
        }
        told
    }

    /// Tells everyone as far as that is possible at once.
    pub(crate) fn try_tell(&self, packet: &[u8]) {
        for link in &self.links {
            link.hear
                .try_send_to(packet, link.group)
                .map(drop)
                .unwrap_or_else(log_failure);
        }
    }
}

fn poll_socket(
    socket: &UdpSocket,
    context: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<(usize, SocketAddr)>> {
    let mut buffer = ReadBuf::new(buffer);
    let from = ready!(socket.poll_recv_from(context, &mut buffer))?;
    Poll::Ready(Ok((buffer.filled().len(), from)))
}

async fn send(socket: &UdpSocket, packet: &[u8], to: SocketAddr) -> io::Result<()> {
    timeout(SEND_TIMEOUT, socket.send_to(packet, to)).await??;
    Ok(())
}

fn log_failure(error: io::Error) {
    tracing::debug!(%error, "mdns: a packet was not sent");
}

impl Link {
    async fn open(place: Place, port: u16) -> io::Result<Self> {
        let (hear, ask, group) = match place.address {
            IpAddr::V4(address) => open_v4(address, port)?,
            IpAddr::V6(address) => open_v6(address, place.index, port)?,
        };
        let link = Self {
            place,
            group,
            ask_port: ask.local_addr()?.port(),
            hear,
            ask,
        };
        // Until the runtime has seen that a socket is writable, trying to send fails.
        link.hear.writable().await?;
        link.ask.writable().await?;
        Ok(link)
    }
}

fn open_v4(address: Ipv4Addr, port: u16) -> io::Result<(UdpSocket, UdpSocket, SocketAddr)> {
    let hear = new_socket(Domain::IPV4)?;
    share_port(&hear)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // Otherwise the kernel would hand over what any process on this machine joined, through any interface.
    hear.set_multicast_all_v4(false)?;
    let bind_to = if CAN_BIND_TO_GROUP {
        GROUP_V4
    } else {
        Ipv4Addr::UNSPECIFIED
    };
    hear.bind(&SocketAddr::from((bind_to, port)).into())?;
    hear.join_multicast_v4(&GROUP_V4, &address)?;
    let ask = new_socket(Domain::IPV4)?;
    let route = new_socket(Domain::IPV4)?;
    // On the loopback interface nobody from outside can reach the socket.
    let bind_to = if address.is_loopback() {
        address
    } else {
        Ipv4Addr::UNSPECIFIED
    };
    ask.bind(&SocketAddr::from((bind_to, 0)).into())?;
    for socket in [&hear, &ask, &route] {
        socket.set_multicast_if_v4(&address)?;
        socket.set_multicast_loop_v4(true)?;
    }
    check_route(&route, (GROUP_V4, port).into())?;
    Ok((to_tokio(hear)?, to_tokio(ask)?, (GROUP_V4, port).into()))
}

fn open_v6(address: Ipv6Addr, index: u32, port: u16) -> io::Result<(UdpSocket, UdpSocket, SocketAddr)> {
    let group = |port| SocketAddr::from(SocketAddrV6::new(GROUP_V6, port, 0, index));
    let hear = new_socket(Domain::IPV6)?;
    hear.set_only_v6(true)?;
    share_port(&hear)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    hear.set_multicast_all_v6(false)?;
    let wildcard = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    hear.bind(&if CAN_BIND_TO_GROUP { group(port) } else { wildcard }.into())?;
    hear.join_multicast_v6(&GROUP_V6, index)?;
    let ask = new_socket(Domain::IPV6)?;
    let route = new_socket(Domain::IPV6)?;
    ask.set_only_v6(true)?;
    let bind_to = if address.is_loopback() {
        address
    } else {
        Ipv6Addr::UNSPECIFIED
    };
    ask.bind(&SocketAddr::from((bind_to, 0)).into())?;
    for socket in [&hear, &ask, &route] {
        socket.set_multicast_if_v6(index)?;
        socket.set_multicast_loop_v6(true)?;
    }
    check_route(&route, group(port))?;
    Ok((to_tokio(hear)?, to_tokio(ask)?, group(port)))
}

/// Where a socket may be bound to a group's address it hears the group and nothing else, and so takes no packet away
/// from another process that shares the port.
const CAN_BIND_TO_GROUP: bool = cfg!(any(target_os = "linux", target_os = "android"));

fn new_socket(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // A smaller buffer works as well, only less reliably under load.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    let _ = socket.set_send_buffer_size(RECEIVE_BUFFER);
    Ok(socket)
}

/// All of this machine's mDNS programs use the same port.
fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)?;
    #[cfg(all(
        unix,
        not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))
    ))]
    socket.set_reuse_port(true)?;
    Ok(())
}

/// Finds out whether the interface would take a packet for the group, without sending one.
fn check_route(socket: &Socket, group: SocketAddr) -> io::Result<()> {
    socket.connect(&group.into())
}

fn to_tokio(socket: Socket) -> io::Result<UdpSocket> {
    UdpSocket::from_std(socket.into())
}

/// The places that the configuration names, sorted, and all addresses of this machine.
fn places(config: &MdnsConfig) -> Result<(Vec<Place>, Vec<IpAddr>)> {
    let interfaces = if_addrs::get_if_addrs().map_err(|error| {
        error::unavailable(format!("cannot list the network interfaces: {error}")).with_source(error)
    })?;
    let addresses = interfaces.iter().map(if_addrs::Interface::ip).collect();
    let mut places: BTreeMap<(String, bool), Place> = BTreeMap::new();
    for interface in interfaces.iter().filter(|interface| is_chosen(config, interface)) {
        if interface.oper_status == if_addrs::IfOperStatus::Down {
            continue;
        }
        let address = interface.ip();
        let place = Place {
            not_loopback: !address.is_loopback(),
            is_ipv6: address.is_ipv6(),
            index: interface.index.unwrap_or(0),
            address,
            name: interface.name.clone(),
        };
        // The first address of a family stands for all.
        places
            .entry((interface.name.clone(), address.is_ipv6()))
            .or_insert(place);
    }
    check_chosen(config, &interfaces)?;
    let ipv4_loopback = places.values().any(|place| !place.not_loopback && !place.is_ipv6);
    let mut places: Vec<Place> = places
        .into_values()
        .filter(|place| !place.is_ipv6 || config.ipv6)
        // IPv4 is enough for meeting on one's own machine.
        .filter(|place| place.not_loopback || !place.is_ipv6 || !ipv4_loopback)
        .collect();
    places.sort();
    places.truncate(MAX_LINKS);
    Ok((places, addresses))
}

fn is_chosen(config: &MdnsConfig, interface: &if_addrs::Interface) -> bool {
    match &config.interfaces {
        Interfaces::All => true,
        Interfaces::Only(names) => names.iter().any(|name| is_called(interface, name)),
    }
}

fn is_called(interface: &if_addrs::Interface, name: &str) -> bool {
    interface.name == name || name.parse() == Ok(interface.ip())
}

fn check_chosen(config: &MdnsConfig, interfaces: &[if_addrs::Interface]) -> Result<()> {
    let Interfaces::Only(names) = &config.interfaces else {
        return Ok(());
    };
    let is_there = |name: &&String| interfaces.iter().any(|interface| is_called(interface, name));
    let Some(missing) = names.iter().find(|name| !is_there(name)) else {
        return Ok(());
    };
    let present: Vec<String> = interfaces
        .iter()
        .map(|interface| format!("{} ({})", interface.name, interface.ip()))
        .collect();
    Err(error::misconfigured(format!(
        "there is no interface {missing}; this machine has {}",
        present.join(", ")
    )))
}
