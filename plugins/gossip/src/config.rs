//! Where to meet the others, and how to speak with them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use futures_util::future::join_all;
use micro_core::Result;
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::error;

/// The port to meet at where none is given.
const PORT: u16 = 7946;
/// How long the names of the seeds, all at the same time, may take to be resolved.
const RESOLVE: Duration = Duration::from_secs(5);
/// Longer times count as this.
const LONGEST: Duration = Duration::from_secs(86_400);
/// The fewest bytes of a key.
const MIN_KEY: usize = 32;

/// Where to meet the others, and how to speak with them. With the default, the processes of one machine meet.
#[derive(Debug, Clone)]
pub struct GossipConfig {
    /// Members that are usually there, each as `host` or `host:port`; without a port, 7946. One that is reached is
    /// enough. Names are resolved again every minute. Default: none, which means 127.0.0.1:7946.
    pub seeds: Vec<String>,
    /// The UDP address to listen at. Default: a free port, of the loopback interface when all seeds are there, and else
    /// of all interfaces. Without seeds, 127.0.0.1:7946 if it is free, so that the processes of one machine meet there.
    pub listen: Option<SocketAddr>,
    /// The address at which others reach this member, where it is not the one to listen at. Port 0 stands for the port
    /// that is listened at. Default: of all interfaces, the address of the one that leads to the first seed.
    pub advertise: Option<SocketAddr>,
    /// Members of another cluster are not heard. Default: `micro`.
    pub cluster: String,
    /// What encrypts and proves all that is said; all members need the same. Default: none, so that whoever reaches a
    /// member can read and change everything.
    pub key: Option<GossipKey>,
    /// How often each member speaks with up to three others. Default: 500 ms.
    pub interval: Duration,
    /// A member that is not heard of for this time, and a few intervals more, is dead. Default: 5 s.
    pub failure_timeout: Duration,
    /// How long connecting may wait for a seed, before this member begins alone. Default: 3 s.
    pub join_timeout: Duration,
}

/// A secret that all members of a cluster share.
#[derive(Clone, PartialEq, Eq)]
pub struct GossipKey(Vec<u8>);

impl GossipKey {
    /// Takes any bytes, at least 32 of them. They ought to be random: whoever hears a member can try out words.
    ///
    /// # Errors
    ///
    /// When there are fewer.
    pub fn new(secret: impl Into<Vec<u8>>) -> Result<Self> {
        let secret = secret.into();
        match secret.len() < MIN_KEY {
            true => Err(error::misconfigured(format!(
                "a key of {} bytes is too short; take at least {MIN_KEY} random ones, such as `openssl rand -hex 32` \
                 gives",
                secret.len()
            ))),
            false => Ok(Self(secret)),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for GossipKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("GossipKey")
    }
}

impl Default for GossipConfig {
    fn default() -> Self {
        Self {
            seeds: Vec::new(),
            listen: None,
            advertise: None,
            cluster: "micro".to_owned(),
            key: None,
            interval: Duration::from_millis(500),
            failure_timeout: Duration::from_secs(5),
            join_timeout: Duration::from_secs(3),
        }
    }
}

impl GossipConfig {
    /// Takes the texts of `--registry_address` as [`seeds`](Self::seeds). None: the default.
    ///
    /// # Errors
    ///
    /// When a text is no address.
    pub fn from_addresses(addresses: &[String]) -> Result<Self> {
        for address in addresses {
            seed(address)?;
        }
        Ok(Self {
            seeds: addresses.to_vec(),
            ..Self::default()
        })
    }

    /// The same, with times that can be reckoned with.
    pub(crate) fn checked(mut self) -> Result<Self> {
        self.check()?;
        for time in [
            &mut self.interval,
            &mut self.failure_timeout,
            &mut self.join_timeout,
        ] {
            *time = LONGEST.min(*time);
        }
        Ok(self)
    }

    fn check(&self) -> Result<()> {
        if self.interval < Duration::from_millis(10) {
            return Err(error::misconfigured(
                "an `interval` of less than 10 ms keeps machine and network busy; the default is 500 ms",
            ));
        }
        if self.failure_timeout < self.interval.saturating_mul(4) {
            return Err(error::misconfigured(format!(
                "with an interval of {:?}, a `failure_timeout` of {:?} would take the living for dead; make it at least \
                 four times as long",
                self.interval, self.failure_timeout
            )));
        }
        for seed_of in &self.seeds {
            seed(seed_of)?;
        }
        Ok(())
    }

    /// The addresses of the seeds whose names can be resolved now, in their order.
    pub(crate) async fn resolve_seeds(&self) -> Vec<SocketAddr> {
        if self.seeds.is_empty() {
            return match self.listen {
                None => vec![meeting_point()],
                Some(_) => Vec::new(),
            };
        }
        join_all(self.seeds.iter().map(|text| resolve(text)))
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    /// The addresses to try to listen at, in that order.
    pub(crate) fn listen_at(&self, seeds: &[SocketAddr]) -> Vec<SocketAddr> {
        let any_port = |ip: IpAddr| SocketAddr::new(ip, 0);
        if let Some(listen) = self.listen {
            return vec![listen];
        }
        if self.seeds.is_empty() {
            return vec![meeting_point(), any_port(meeting_point().ip())];
        }
        let is_local = seeds.iter().all(|seed| seed.ip().is_loopback());
        let is_v6 = seeds.first().is_some_and(SocketAddr::is_ipv6);
        vec![any_port(match (is_local, is_v6) {
            (true, false) => Ipv4Addr::LOCALHOST.into(),
            (true, true) => Ipv6Addr::LOCALHOST.into(),
            (false, false) => Ipv4Addr::UNSPECIFIED.into(),
            (false, true) => Ipv6Addr::UNSPECIFIED.into(),
        })]
    }

    /// The address to tell others, for a socket that listens at `bound`.
    pub(crate) fn advertised(&self, bound: SocketAddr, seeds: &[SocketAddr]) -> Result<SocketAddr> {
        let chosen = match self.advertise {
            Some(chosen) if chosen.port() == 0 => SocketAddr::new(chosen.ip(), bound.port()),
            Some(chosen) => chosen,
            None => bound,
        };
        if !chosen.ip().is_unspecified() {
            return Ok(chosen);
        }
        // Reserved for documentation, and nothing is sent there: only the route is looked up.
        let outside = SocketAddr::from(([192, 0, 2, 1], 9));
        let towards = seeds.first().copied().unwrap_or(outside);
        let own = own_address(towards).ok_or_else(|| {
            error::misconfigured(format!(
                "no interface of this machine leads to {towards}; set `advertise` to the address at which others reach \
                 it"
            ))
        })?;
        Ok(SocketAddr::new(own, chosen.port()))
    }
}

async fn resolve(text: &str) -> Vec<SocketAddr> {
    let Ok(name) = seed(text) else {
        return Vec::new();
    };
    match timeout(RESOLVE, lookup_host(&name)).await {
        Ok(Ok(addresses)) => return addresses.collect(),
        Ok(Err(problem)) => tracing::warn!("gossip: the seed {name} cannot be resolved: {problem}"),
        Err(_) => tracing::warn!("gossip: the seed {name} was not resolved within {RESOLVE:?}"),
    }
    Vec::new()
}

/// Where the processes of one machine meet when nothing is configured.
fn meeting_point() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))
}

fn own_address(towards: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match towards.is_ipv4() {
        true => Ipv4Addr::UNSPECIFIED.into(),
        false => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(towards).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// A seed as `host:port`.
fn seed(text: &str) -> Result<String> {
    let text = text.trim();
    let wrong = || {
        error::misconfigured(format!(
            "registry address {text:?} is no member's address; write host or host:port, such as 192.0.2.7:{PORT}"
        ))
    };
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, PORT).to_string());
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return (address.port() != 0).then(|| text.to_owned()).ok_or_else(wrong);
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (
            host,
            port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?,
        ),
        None => (text, PORT),
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match !host.is_empty() && host.bytes().all(is_host) {
        true => Ok(format!("{host}:{port}")),
        false => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_host_with_or_without_a_port() {
        let rows = [
            ("192.0.2.7", "192.0.2.7:7946"),
            (" peer.example:99 ", "peer.example:99"),
            ("peer", "peer:7946"),
            ("::1", "[::1]:7946"),
            ("[::1]:5", "[::1]:5"),
        ];
        for (text, expected) in rows {
            assert_eq!(seed(text).unwrap(), expected);
        }
        for text in ["", ":1", "peer:x", "peer:0", "127.0.0.1:0", "a b", "http://peer"] {
            let error = GossipConfig::from_addresses(&[text.to_owned()]).unwrap_err();
            assert!(error.detail().contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn where_to_listen_follows_from_where_the_seeds_are() {
        let with = |seeds: &[&str], listen: Option<&str>| {
            let config = GossipConfig {
                seeds: seeds.iter().map(|seed| (*seed).to_owned()).collect(),
                listen: listen.map(|listen| listen.parse().unwrap()),
                ..GossipConfig::default()
            };
            let resolved: Vec<SocketAddr> = seeds.iter().map(|seed| seed.parse().unwrap()).collect();
            let places: Vec<String> = config
                .listen_at(&resolved)
                .iter()
                .map(ToString::to_string)
                .collect();
            places.join(" ")
        };
        assert_eq!(with(&[], None), "127.0.0.1:7946 127.0.0.1:0");
        assert_eq!(with(&[], Some("127.0.0.1:5")), "127.0.0.1:5");
        assert_eq!(with(&["127.0.0.1:5"], None), "127.0.0.1:0");
        assert_eq!(with(&["127.0.0.1:5", "192.0.2.7:5"], None), "0.0.0.0:0");
        assert_eq!(with(&["[2001:db8::7]:5"], None), "[::]:0");
    }

    #[test]
    fn the_advertised_address_is_one_that_others_can_reach() {
        let bound: SocketAddr = "0.0.0.0:77".parse().unwrap();
        let local: SocketAddr = "127.0.0.1:5".parse().unwrap();
        let config = GossipConfig::default();
        assert_eq!(config.advertised(local, &[]).unwrap(), local);
        assert_eq!(
            config.advertised(bound, &[local]).unwrap().to_string(),
            "127.0.0.1:77"
        );
        let config = GossipConfig {
            advertise: Some("192.0.2.9:0".parse().unwrap()),
            ..GossipConfig::default()
        };
        assert_eq!(
            config.advertised(bound, &[local]).unwrap().to_string(),
            "192.0.2.9:77"
        );
    }

    #[test]
    fn times_beyond_all_reckoning_count_as_a_day() {
        let config = GossipConfig {
            interval: Duration::MAX / 4,
            failure_timeout: Duration::MAX,
            join_timeout: Duration::MAX,
            ..GossipConfig::default()
        };
        let config = config.checked().unwrap();
        for time in [config.interval, config.failure_timeout, config.join_timeout] {
            assert_eq!(time, LONGEST);
        }
        let config = GossipConfig {
            interval: Duration::MAX,
            ..GossipConfig::default()
        };
        assert!(config.checked().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn seeds_are_resolved_in_their_order() {
        let seeds = ["127.0.0.1:5", "127.0.0.1:4", "127.0.0.1:6"].map(str::to_owned);
        let found = GossipConfig::from_addresses(&seeds)
            .unwrap()
            .resolve_seeds()
            .await;
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, seeds);
    }

    #[test]
    fn a_short_key_and_a_hasty_failure_detector_are_refused() {
        assert!(GossipKey::new("secret").unwrap_err().detail().contains("32"));
        let key = GossipKey::new("secret".repeat(6)).unwrap();
        let config = GossipConfig {
            key: Some(key),
            failure_timeout: Duration::from_secs(1),
            ..GossipConfig::default()
        };
        assert!(!format!("{config:?}").contains("secret"));
        assert!(config.check().unwrap_err().detail().contains("failure_timeout"));
    }
}
