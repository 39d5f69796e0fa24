//! Nodes as DNS records, as Go Micro writes and reads them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use micro_core::Result;
use micro_core::registry::{Endpoint, Node, ServiceRecord};
use serde::{Deserialize, Serialize};

use crate::error;
use crate::packet::{
    A, AAAA, ANNOUNCEMENT, ANSWER, ANY, Data, Message, Question, SRV, TXT, Writer, check_name,
};

/// Where all services are listed. No service may have this name.
pub(crate) const LIST: &str = "_services";
/// Where DNS browsers ask for the kinds of services.
const BROWSE: &str = "_services._dns-sd._udp";
/// Go Micro's time to live of all records, in seconds, and the longest here.
const MAX_TTL: u32 = 120;
/// What one UDP datagram carries.
const MAX_DATAGRAM: usize = 65_507;
/// What a record may inflate to, in bytes, and how many JSON objects it may hold.
const MAX_JSON: usize = 2 << 20;
const MAX_OBJECTS: usize = 16_384;
/// The longest string in a TXT record.
const MAX_STRING: usize = 255;

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

/// A node, or a name in the list of services, that a response told of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sighting {
    pub(crate) key: Key,
    pub(crate) record: ServiceRecord,
    /// Seconds; 0 is a goodbye.
    pub(crate) ttl: u32,
    /// About how many bytes it takes to remember.
    pub(crate) weight: usize,
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
        let about_service = question.name == self.service_name && question.asks(crate::packet::PTR);
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
    if !question.asks(crate::packet::PTR) {
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
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(MAX_TTL).clamp(1, MAX_TTL)
}

/// Whether the name can be a service's: what cannot, nobody can have registered.
pub(crate) fn is_service_name(service: &str, domain: &str) -> bool {
    check_names(service, "x", domain).is_ok()
}

/// All that a response tells of nodes and services in the domain, as far as `wanted` wishes to know of the service.
///
/// Only the TXT records of wanted services are inflated, and all of a packet together to no more than `MAX_JSON`.
pub(crate) fn sightings(message: &Message<'_>, domain: &str, wanted: impl Fn(&str) -> bool) -> Vec<Sighting> {
    let mut budget = MAX_JSON;
    let mut seen = Vec::new();
    for record in &message.records {
        match &record.data {
            Data::Text(text) => {
                let Some(below) = below(&record.name, domain) else {
                    continue;
                };
                if endings(below).any(&wanted) {
                    seen.extend(node_sighting(message, &record.name, below, text, &mut budget));
                }
            }
            Data::Pointer(entry) if below(&record.name, domain) == Some(LIST) && wanted(LIST) => {
                seen.extend(list_sighting(entry, domain, record.ttl));
            }
            _ => {}
        }
    }
    seen
}

fn node_sighting(
    message: &Message<'_>,
    name: &str,
    below: &str,
    text: &[u8],
    budget: &mut usize,
) -> Option<Sighting> {
    let (ttl, port, target) = message.records.iter().find_map(|record| match &record.data {
        Data::Service { port, target, .. } if record.name == name => Some((record.ttl, *port, target)),
        _ => None,
    })?;
    let addresses = message.records.iter().filter_map(|record| match record.data {
        Data::Address(address) if record.name == *target => Some(address),
        _ => None,
    });
    // As Go does, the IPv4 address is preferred.
    let address = addresses.min_by_key(IpAddr::is_ipv6)?;
    if address.is_unspecified() {
        return None;
    }
    let (text, size) = decode_text(text, *budget)?;
    *budget = budget.saturating_sub(size);
    let id = below.strip_suffix(&text.service)?.strip_suffix('.')?;
    let node = Node {
        id: id.to_owned(),
        address: SocketAddr::new(address, port).to_string(),
        metadata: text.metadata.unwrap_or_default(),
    };
    let record = ServiceRecord {
        name: text.service,
        version: text.version,
        metadata: BTreeMap::new(),
        endpoints: text.endpoints.unwrap_or_default(),
        nodes: vec![node],
    };
    Some(Sighting {
        key: (record.name.clone(), record.version.clone(), id.to_owned()),
        record,
        ttl,
        weight: 512 + 4 * size,
    })
}

fn list_sighting(entry: &str, domain: &str, ttl: u32) -> Option<Sighting> {
    let service = below(entry, domain)?.strip_suffix(LIST)?.strip_suffix('.')?;
    Some(Sighting {
        key: (LIST.to_owned(), String::new(), service.to_owned()),
        record: ServiceRecord::new(service, ""),
        ttl,
        weight: 512,
    })
}

/// The name without the domain.
fn below<'a>(name: &'a str, domain: &str) -> Option<&'a str> {
    name.strip_suffix(domain)?.strip_suffix('.')
}

/// What a node's name may end with: each part of it behind a dot.
fn endings(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.').map(|(at, _)| &name[at + 1..])
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

/// The JSON in a TXT record. Go reads the keys in any case.
#[derive(Deserialize)]
struct Text {
    #[serde(rename = "Metadata", alias = "metadata", default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(rename = "Service", alias = "service")]
    service: String,
    #[serde(rename = "Version", alias = "version", default)]
    version: String,
    #[serde(rename = "Endpoints", alias = "endpoints", default)]
    endpoints: Option<Vec<Endpoint>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TextView<'a> {
    metadata: Option<&'a BTreeMap<String, String>>,
    service: &'a str,
    version: &'a str,
    endpoints: Option<&'a [Endpoint]>,
}

fn encode_text(record: &ServiceRecord) -> Result<Vec<u8>, String> {
    let metadata = &record.nodes[0].metadata;
    let view = TextView {
        metadata: Some(metadata).filter(|metadata| !metadata.is_empty()),
        service: &record.name,
        version: &record.version,
        endpoints: Some(&record.endpoints[..]).filter(|endpoints| !endpoints.is_empty()),
    };
    let json = serde_json::to_vec(&view).map_err(|error| error.to_string())?;
    check_json(&json)?;
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    let packed = zlib.write_all(&json).and_then(|()| zlib.finish());
    Ok(to_strings(&packed.map_err(|error| error.to_string())?))
}

/// Limits that hold for reading as well: what is registered, others must take.
fn check_json(json: &[u8]) -> Result<(), String> {
    let objects = json.iter().filter(|byte| **byte == b'{').count();
    if json.len() > MAX_JSON {
        return Err(format!(
            "its record has {} bytes, and the limit is {MAX_JSON}; shorten its metadata and endpoints",
            json.len()
        ));
    }
    if objects > MAX_OBJECTS {
        return Err(format!(
            "its record has {objects} objects, and the limit is {MAX_OBJECTS}; describe fewer endpoints or fields"
        ));
    }
    Ok(())
}

/// Lower-case hexadecimal digits, cut into strings, each behind its length.
fn to_strings(packed: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = packed
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    let mut strings = Vec::with_capacity(packed.len() * 2 + packed.len() / 64 + 2);
    loop {
        let length_at = strings.len();
        strings.push(0);
        strings.extend(digits.by_ref().take(MAX_STRING));
        let length = strings.len() - length_at - 1;
        strings[length_at] = length as u8;
        if length < MAX_STRING {
            // An empty string at the end is not written; Go writes none either.
            if length == 0 && length_at > 0 {
                strings.pop();
            }
            return strings;
        }
    }
}

fn decode_text(strings: &[u8], budget: usize) -> Option<(Text, usize)> {
    let packed = from_strings(strings)?;
    let mut json = Vec::new();
    let mut zlib = ZlibDecoder::new(&packed[..]).take(budget as u64 + 1);
    zlib.read_to_end(&mut json).ok()?;
    if json.len() > budget {
        return None;
    }
    check_json(&json).ok()?;
    let text: Text = serde_json::from_slice(&json).ok()?;
    (!text.service.is_empty()).then_some((text, json.len()))
}

fn from_strings(mut strings: &[u8]) -> Option<Vec<u8>> {
    let mut digits = Vec::with_capacity(strings.len());
    while let Some((length, rest)) = strings.split_first() {
        let (string, rest) = rest.split_at_checked(usize::from(*length))?;
        digits.extend_from_slice(string);
        strings = rest;
    }
    let (pairs, rest) = digits.as_chunks::<2>();
    let value = |digit: u8| char::from(digit).to_digit(16);
    let byte = |pair: &[u8; 2]| Some((value(pair[0])? << 4 | value(pair[1])?) as u8);
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
