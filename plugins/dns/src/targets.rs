//! What an answer says: where a service is, by priority, and the addresses that came along.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hickory_resolver::lookup::Lookup;
use hickory_resolver::proto::rr::{Name, RData};

/// A host and a port that has the service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    pub(crate) host: Name,
    pub(crate) port: u16,
}

impl Target {
    /// The id of its node: `host:port`, in lower case and without the dot at the end.
    pub(crate) fn id(&self) -> String {
        let host = self.host.to_lowercase().to_ascii();
        format!("{}:{}", host.trim_end_matches('.'), self.port)
    }
}

/// The targets of each priority. Those that say that there is no service, by the target `.` or port 0, are left out.
pub(crate) fn by_priority(answer: &Lookup) -> BTreeMap<u16, BTreeSet<Target>> {
    let mut priorities: BTreeMap<u16, BTreeSet<Target>> = BTreeMap::new();
    for record in answer.answers() {
        if let RData::SRV(srv) = &record.data
            && !srv.target.is_root()
            && srv.port != 0
        {
            let mut host = srv.target.to_lowercase();
            host.set_fqdn(true);
            let target = Target { host, port: srv.port };
            priorities.entry(srv.priority).or_default().insert(target);
        }
    }
    priorities
}

/// Addresses of the preferred family, by host, that the server sent along. Who has none of them is asked for: the
/// server may have left them out for want of room.
pub(crate) fn sent_along(answer: &Lookup, prefer_ipv6: bool) -> BTreeMap<Name, (Vec<IpAddr>, u32)> {
    let mut hosts: BTreeMap<Name, (Vec<IpAddr>, u32)> = BTreeMap::new();
    for record in answer.additionals() {
        let Some(ip) = record.data.ip_addr().filter(|ip| ip.is_ipv6() == prefer_ipv6) else {
            continue;
        };
        let mut host = record.name.to_lowercase();
        host.set_fqdn(true);
        let (addresses, ttl) = hosts.entry(host).or_insert((Vec::new(), u32::MAX));
        addresses.push(ip);
        *ttl = record.ttl.min(*ttl);
    }
    hosts
}

/// The shortest time to live of an answer's records, in seconds.
pub(crate) fn shortest_ttl(answer: &Lookup) -> u32 {
    answer
        .answers()
        .iter()
        .map(|record| record.ttl)
        .min()
        .unwrap_or(0)
}
