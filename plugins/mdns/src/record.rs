//! Nodes as DNS records, as Go Micro writes them.

use std::net::{IpAddr, SocketAddr};

use micro_core::Result;
use micro_core::registry::{Node, ServiceRecord};

use crate::error;
use crate::packet::{A, AAAA, ANNOUNCEMENT, ANSWER, ANY, PTR, Question, SRV, TXT, Writer, check_name};
use crate::text::encode_text;

/// Where all services are listed. No service may have this name.
pub(crate) const LIST: &str = "_services";
/// Where DNS browsers ask for the kinds of services.
const BROWSE: &str = "_services._dns-sd._udp";
/// Go Micro's time to live of all records, in seconds, and the longest here.
const MAX_TTL: u32 = 120;
/// What one UDP datagram carries.
const MAX_DATAGRAM: usize = 65_507;
/// Service, version, node: what a node is known by.
pub(crate) type Key = (String, String, String);

/// A node of this process, ready to be told.
#[derive(Debug, Clone)]
pub(crate) struct NodeRecord {
    /// The record as others will read it: one node, and nothing that does not travel.
    pub(crate) record: ServiceRecord,
    pub(crate) ttl: u32,
    service_name: String,
    node_name: String,
    host: String,
    address: SocketAddr,
    text: Vec<u8>,
}

impl NodeRecord {
    /// Translates the node, or says why mDNS cannot carry it.
    pub(crate) fn new(
        service: &ServiceRecord,
        node: &Node,
        domain: &str,
        host: &str,
        ttl: u32,
    ) -> Result<Self> {
        let refused = |why: String| error::refused(&service.name, &node.id, why);
        let address = parse_address(&node.address).map_err(refused)?;
        let names = check_names(&service.name, &node.id, domain).map_err(refused)?;
        let mut node = node.clone();
        node.address = address.to_string();
        let mut record = service.with_nodes(vec![node]);
        record.metadata.clear();
        let too_large = |why: String| error::too_large(&record.name, &record.nodes[0].id, why);
        let text = encode_text(&record).map_err(too_large)?;
        let node = Self {
            ttl,
            service_name: names.0,
            node_name: names.1,
            host: host.to_owned(),
            address,
            text,
            record,
        };
        let size = node.answer(&Question::pointer(&node.service_name)).len();
        if node.text.len() > usize::from(u16::MAX) || size > MAX_DATAGRAM {
            return Err(error::too_large(
                &node.record.name,
                &node.record.nodes[0].id,
                format!(
                    "its record takes {size} bytes compressed, and a datagram carries {MAX_DATAGRAM}; \
                     shorten its metadata and endpoints, or use another registry"
                ),
            ));
        }
        Ok(node)
    }

    pub(crate) fn key(&self) -> Key {
        let record = &self.record;
        let id = record.nodes[0].id.clone();
        (record.name.clone(), record.version.clone(), id)
    }

    /// Whether others would see a difference.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.record == other.record && self.ttl == other.ttl
    }

    /// What is told unasked: SRV, address and TXT. A time to live of 0 is the goodbye.
    pub(crate) fn announcement(&self, ttl: u32) -> Vec<u8> {
        let mut writer = Writer::new(0, ANNOUNCEMENT);
        self.write(&mut writer, ANY, ttl);
        writer.finish()
    }

    /// The answer to a question, if it is about this node.
    pub(crate) fn answer_to(&self, question: &Question) -> Option<Vec<u8>> {
        let about_service = question.name == self.service_name && question.asks(PTR);
        let kinds = [ANY, SRV, TXT, self.address_kind()];
        let about_node = question.name == self.node_name && kinds.contains(&question.kind);
        (about_service || about_node).then(|| self.answer(question))
    }

    fn answer(&self, question: &Question) -> Vec<u8> {
        let mut writer = Writer::new(0, ANSWER);
        writer.question(question);
        if question.name == self.service_name {
            writer.pointer(&self.service_name, self.ttl, &self.node_name);
            self.write(&mut writer, ANY, self.ttl);
        } else {
            self.write(&mut writer, question.kind, self.ttl);
        }
        writer.finish()
    }

    /// The order matters to Go: it ties an address to a node by the SRV record before it.
    fn write(&self, writer: &mut Writer, kind: u16, ttl: u32) {
        if kind == ANY || kind == SRV {
            writer.service(&self.node_name, ttl, self.address.port(), &self.host);
        }
        if kind != TXT {
            writer.address(&self.host, ttl, self.address.ip());
        }
        if kind == ANY || kind == TXT {
            writer.text(&self.node_name, ttl, &self.text);
        }
    }

    fn address_kind(&self) -> u16 {
        if self.address.is_ipv4() { A } else { AAAA }
    }
}

/// The answer to a question about the list of services, for one of them.
pub(crate) fn answer_for_list(
    question: &Question,
    service: &str,
    domain: &str,
    host: &str,
) -> Option<Vec<u8>> {
    if !question.asks(PTR) {
        return None;
    }
    let below = question.name.strip_suffix(domain)?.strip_suffix('.')?;
    let mut writer = Writer::new(0, ANSWER);
    writer.question(question);
    match below {
        LIST => {
            let entry = format!("{service}.{LIST}.{domain}");
            writer.pointer(&question.name, MAX_TTL, &entry);
            writer.service(&entry, MAX_TTL, 9999, host);
            writer.address(host, MAX_TTL, IpAddr::from([0, 0, 0, 0]));
            writer.text(&entry, MAX_TTL, &[]);
        }
        BROWSE => writer.pointer(&question.name, MAX_TTL, &format!("{service}.{domain}")),
        _ => return None,
    }
    Some(writer.finish())
}

/// The time to live as DNS carries it: whole seconds, rounded up, at most Go's 120.
pub(crate) fn dns_ttl(ttl: Option<std::time::Duration>) -> u32 {
    let Some(ttl) = ttl else { return MAX_TTL };
    let seconds = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
    u32::try_from(seconds).unwrap_or(MAX_TTL).clamp(1, MAX_TTL)
}

/// Whether the name can be a service's: what cannot, nobody can have registered.
pub(crate) fn is_service_name(service: &str, domain: &str) -> bool {
    check_names(service, "x", domain).is_ok()
}

fn parse_address(address: &str) -> Result<SocketAddr, String> {
    let parsed: SocketAddr = address.parse().map_err(|_| {
        format!(
            "its address {address} is not an IP address and a port, and mDNS carries nothing else; \
             write it such as 192.0.2.7:8080 or [2001:db8::7]:8080"
        )
    })?;
    let ip = parsed.ip().to_canonical();
    if ip.is_unspecified() || ip.is_multicast() {
        return Err(format!(
            "nobody can call its address {address}; register an address of this machine instead of {ip}"
        ));
    }
    if parsed.port() == 0 {
        return Err(format!(
            "its address {address} has port 0, which nobody can call; register the port that was bound"
        ));
    }
    Ok(SocketAddr::new(ip, parsed.port()))
}

/// The DNS names of a service and its node.
fn check_names(service: &str, node: &str, domain: &str) -> Result<(String, String), String> {
    if service == LIST || service.starts_with("_services.") {
        return Err("the name _services stands for the list of services; choose another".to_owned());
    }
    let service_name = format!("{service}.{domain}");
    let node_name = format!("{node}.{service_name}");
    check_name(&node_name)?;
    check_name(&format!("{service}.{LIST}.{domain}"))?;
    Ok((service_name, node_name))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::packet::Message;

    const NODE: &str = "interop.notice2-94f5a0d2-7f1c-4a6c-9d55-0c8d7a1e2b3f";

    fn broker() -> NodeRecord {
        let node = Node::new(NODE, "127.0.0.1:43651")
            .with_metadata("broker", "http")
            .with_metadata("secure", "false")
            .with_metadata("topic", "interop.notice2");
        let record = ServiceRecord::new("micro.http.broker", "ff.http.broadcast");
        NodeRecord::new(&record, &node, "micro", "vm", 120).unwrap()
    }

    #[test]
    fn an_answer_has_gos_bytes() {
        let answer = broker()
            .answer_to(&Question::pointer("micro.http.broker.micro"))
            .unwrap();
        let mut expected = b"\0\0\x84\0\0\x01\0\x04\0\0\0\0".to_vec();
        expected.extend(b"\x05micro\x04http\x06broker\x05micro\0\0\x0c\0\x01");
        expected.extend(b"\xc0\x0c\0\x0c\0\x01\0\0\0\x78\0\x37");
        let (first, second) = NODE.split_once('.').unwrap();
        expected.extend(b"\x07interop\x2c");
        assert_eq!((first, second.len()), ("interop", 0x2c));
        expected.extend(second.as_bytes());
        expected.extend(b"\xc0\x0c");
        expected.extend(b"\xc0\x35\0\x21\0\x01\0\0\0\x78\0\x0a\0\x0a\0\x01\xaa\x83\x02vm\0");
        expected.extend(b"\xc0\x7e\0\x01\0\x01\0\0\0\x78\0\x04\x7f\0\0\x01");
        expected.extend(b"\xc0\x35\0\x10\0\x01\0\0\0\x78");
        assert_eq!(answer[..expected.len()], expected);
        let text = &answer[expected.len()..];
        assert_eq!(
            usize::from(u16::from_be_bytes([text[0], text[1]])),
            text.len() - 2
        );
        assert!(text[3..].starts_with(b"789c"));
    }

    fn kinds(packet: &[u8]) -> Vec<(u16, u32)> {
        let kind = |record: &crate::packet::Record<'_>| match record.data {
            crate::packet::Data::Pointer(_) => PTR,
            crate::packet::Data::Service { .. } => SRV,
            crate::packet::Data::Address(IpAddr::V4(_)) => A,
            crate::packet::Data::Address(IpAddr::V6(_)) => AAAA,
            crate::packet::Data::Text(_) => TXT,
        };
        let message = Message::parse(packet).unwrap();
        message
            .records
            .iter()
            .map(|record| (kind(record), record.ttl))
            .collect()
    }

    #[test]
    fn announcements_and_goodbyes_have_gos_records() {
        let (announcement, goodbye) = (broker().announcement(120), broker().announcement(0));
        assert!(announcement.starts_with(b"\0\0\x80\0\0\0\0\x03\0\0\0\0"));
        assert_eq!(kinds(&announcement), [(SRV, 120), (A, 120), (TXT, 120)]);
        assert_eq!(kinds(&goodbye), [(SRV, 0), (A, 0), (TXT, 0)]);
        assert_eq!(announcement.len(), goodbye.len());
    }

    #[test]
    fn a_question_for_the_node_is_answered_by_its_type() {
        let ask = |kind| {
            let question = Question {
                kind,
                ..Question::pointer(format!("{NODE}.micro.http.broker.micro"))
            };
            broker().answer_to(&question).map(|answer| kinds(&answer))
        };
        assert_eq!(ask(ANY), Some(vec![(SRV, 120), (A, 120), (TXT, 120)]));
        assert_eq!(ask(SRV), Some(vec![(SRV, 120), (A, 120)]));
        assert_eq!(ask(TXT), Some(vec![(TXT, 120)]));
        assert_eq!(ask(A), Some(vec![(A, 120)]));
        assert_eq!(ask(AAAA), None);
        assert_eq!(ask(PTR), None);
        let mut question = Question::pointer("micro.http.broker.micro");
        question.kind = A;
        assert_eq!(broker().answer_to(&question), None);
        assert_eq!(
            broker().answer_to(&Question::pointer("micro.http.broker.local")),
            None
        );
    }

    #[test]
    fn the_list_and_the_browsers_are_answered_by_service() {
        let ask = |name: &str| answer_for_list(&Question::pointer(name), "interop.greeter", "micro", "vm");
        assert_eq!(ask("_services.micro").unwrap().len(), 113);
        assert_eq!(kinds(&ask("_services._dns-sd._udp.micro").unwrap()), [(PTR, 120)]);
        assert_eq!(ask("interop.greeter.micro"), None);
        assert_eq!(ask("_services.local"), None);
    }

    #[test]
    fn a_time_to_live_is_whole_seconds_and_at_most_gos() {
        let seconds = |ttl| dns_ttl(Some(ttl));
        assert_eq!(dns_ttl(None), 120);
        assert_eq!(seconds(Duration::from_secs(90)), 90);
        assert_eq!(seconds(Duration::from_millis(1500)), 2);
        assert_eq!(seconds(Duration::ZERO), 1);
        assert_eq!(seconds(Duration::MAX), 120);
    }
}
