//! Tags: what Go Micro writes into Consul of a node's metadata, endpoints and version.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use micro_core::registry::{Endpoint, Node, ServiceRecord};
use serde::Serialize;

/// What one tag may inflate to, in bytes, and how many JSON objects it may hold.
const MAX_TAG: usize = 2 << 20;
const MAX_OBJECTS: usize = 16_384;
/// What all tags of one answer may inflate to.
pub(crate) const BUDGET: usize = 64 << 20;

/// What tags tell of a node.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) version: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) endpoints: Vec<Endpoint>,
    /// The node's id, where it is registered with another.
    pub(crate) id: Option<String>,
}

/// The tags of a node, in Go Micro's order. The error says in words which limit is broken.
pub(crate) fn encode(service: &ServiceRecord, node: &Node) -> Result<Vec<String>, String> {
    let mut tags = Vec::with_capacity(node.metadata.len() + service.endpoints.len() + 1);
    for pair in &node.metadata {
        tags.push(tag(b't', &json(&BTreeMap::from([pair]))?)?);
    }
    for endpoint in &service.endpoints {
        tags.push(tag(b'e', &json(endpoint)?)?);
    }
    tags.push(tag(b'v', service.version.as_bytes())?);
    Ok(tags)
}

/// The tag that tells a node's id, for a node that is registered with another. Go Micro does not know it.
pub(crate) fn encode_id(id: &str) -> Result<String, String> {
    tag(b'n', id.as_bytes())
}

/// Reads tags, those of others between them included, and takes what they inflate to off the budget.
///
/// Of each kind only the form of the first is read, as Go Micro does: `t-` or the old `t=`.
pub(crate) fn decode(tags: &[String], budget: &mut usize) -> Told {
    let mut told = Told::default();
    for text in of_kind(tags, b't', budget) {
        if let Ok(pairs) = serde_json::from_slice::<BTreeMap<String, String>>(&text) {
            told.metadata.extend(pairs);
        }
    }
    for text in of_kind(tags, b'e', budget) {
        told.endpoints.extend(serde_json::from_slice::<Endpoint>(&text));
    }
    told.version = texts(tags, b'v', budget).next().unwrap_or_default();
    told.id = texts(tags, b'n', budget).next();
    told
}

/// The texts of all tags of a kind, such as the versions in the tags of several nodes.
pub(crate) fn texts(tags: &[String], kind: u8, budget: &mut usize) -> impl Iterator<Item = String> {
    let texts = tags
        .iter()
        .filter_map(move |tag| Tag::of(tag, kind)?.text(budget));
    texts.filter_map(|text| String::from_utf8(text).ok())
}

fn of_kind(tags: &[String], kind: u8, budget: &mut usize) -> Vec<Vec<u8>> {
    let mut tags = tags.iter().filter_map(|tag| Tag::of(tag, kind)).peekable();
    let is_plain = tags.peek().is_some_and(|first| matches!(first, Tag::Plain(_)));
    tags.filter(|tag| matches!(tag, Tag::Plain(_)) == is_plain)
        .filter_map(|tag| tag.text(budget))
        .collect()
}

enum Tag<'a> {
    /// `t={"key":"value"}`
    Plain(&'a str),
    /// `t-` and hexadecimal digits of what is compressed.
    Packed(&'a str),
}

impl<'a> Tag<'a> {
    fn of(tag: &'a str, kind: u8) -> Option<Self> {
        match tag.as_bytes() {
            [first, b'=', ..] if *first == kind => Some(Self::Plain(&tag[2..])),
            [first, b'-', rest @ ..] if *first == kind && is_hexadecimal(rest) => {
                Some(Self::Packed(&tag[2..]))
            }
            _ => None,
        }
    }

    fn text(&self, budget: &mut usize) -> Option<Vec<u8>> {
        let limit = MAX_TAG.min(*budget);
        let text = match self {
            Self::Plain(text) => Some(text.as_bytes().to_vec()).filter(|text| text.len() <= limit),
            Self::Packed(digits) => inflate(digits, limit),
        };
        // What could not be read had its price, too.
        *budget -= text.as_ref().map_or(limit.min(64 * 1024), Vec::len);
        text.filter(|text| check(text).is_ok())
    }
}

fn is_hexadecimal(digits: &[u8]) -> bool {
    digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit)
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, String> {
    serde_json::to_vec(value).map_err(|problem| problem.to_string())
}

fn tag(kind: u8, text: &[u8]) -> Result<String, String> {
    check(text)?;
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    let packed = zlib.write_all(text).and_then(|()| zlib.finish());
    let packed = packed.map_err(|problem| problem.to_string())?;
    let digits = packed.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = digits.filter_map(|digit| char::from_digit(u32::from(digit), 16));
    Ok([char::from(kind), '-'].into_iter().chain(digits).collect())
}

fn inflate(digits: &str, limit: usize) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    let bytes = pairs
        .iter()
        .map(|[high, low]| Some((value(*high)? << 4 | value(*low)?) as u8));
    let packed = bytes.collect::<Option<Vec<u8>>>()?;
    let mut text = Vec::new();
    let mut zlib = ZlibDecoder::new(&packed[..]).take(limit as u64 + 1);
    zlib.read_to_end(&mut text).ok()?;
    (text.len() <= limit).then_some(text)
}

/// Limits that hold for writing as well: what is registered, others must take.
fn check(text: &[u8]) -> Result<(), String> {
    let objects = text.iter().filter(|byte| **byte == b'{').count();
    if text.len() > MAX_TAG || objects > MAX_OBJECTS {
        return Err(format!(
            "one pair of its metadata, one endpoint or the version has {} bytes and {objects} objects, where {MAX_TAG} \
             and {MAX_OBJECTS} are the limits; make it shorter",
            text.len()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VERSION: &str = "v-789c32d433d03300040000ffff02ce00ee";
    const PROTOCOL: &str = "t-789caa562a28ca2fc94fcecf51b252ca2d4d2e50aa05040000ffff46a906e2";

    fn read(tags: &[&str]) -> Told {
        let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        decode(&tags, &mut BUDGET.clone())
    }

    fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn tags_that_go_micro_wrote_are_read() {
        let told = read(&["eu-west", PROTOCOL, VERSION, "v1", "", "t"]);
        assert_eq!(told.version, "1.0.0");
        assert_eq!(told.metadata, pairs(&[("protocol", "mucp")]));
        assert!(told.endpoints.is_empty());
    }

    #[test]
    fn tags_are_kind_dash_and_hexadecimal_zlib_in_gos_order() {
        let node = Node::new("n", "")
            .with_metadata("protocol", "mucp")
            .with_metadata("a", "<b>");
        let mut service = ServiceRecord::new("greeter", "1.0.0");
        service.endpoints = vec![Endpoint {
            name: "Greeter.Hello".into(),
            ..Endpoint::default()
        }];
        let tags = encode(&service, &node).unwrap();
        let texts: Vec<String> = tags
            .iter()
            .map(|tag| String::from_utf8(inflate(&tag[2..], MAX_TAG).unwrap()).unwrap())
            .collect();
        assert!(tags.iter().all(|tag| tag[1..].starts_with("-789c")), "{tags:?}");
        let kinds: String = tags.iter().map(|tag| &tag[..1]).collect();
        assert_eq!(kinds, "ttev");
        assert_eq!(
            texts,
            [
                r#"{"a":"<b>"}"#,
                r#"{"protocol":"mucp"}"#,
                r#"{"request":null,"response":null,"metadata":null,"name":"Greeter.Hello"}"#,
                "1.0.0",
            ]
        );
    }

    #[test]
    fn the_old_plain_forms_are_read_and_only_the_form_of_the_first_counts() {
        let told = read(&[
            r#"t={"a":"1"}"#,
            PROTOCOL,
            r#"t={"b":"2"}"#,
            r#"e={"name":"X.Y"}"#,
            "v=7",
        ]);
        assert_eq!(told.metadata, pairs(&[("a", "1"), ("b", "2")]));
        assert_eq!(
            (told.endpoints[0].name.as_str(), told.version.as_str()),
            ("X.Y", "7")
        );
        let told = read(&[PROTOCOL, r#"t={"a":"1"}"#, VERSION, "v=7"]);
        assert_eq!(told.metadata, pairs(&[("protocol", "mucp")]));
        assert_eq!(told.version, "1.0.0");
    }

    #[test]
    fn tags_of_others_are_left_out() {
        let told = read(&[
            "v-1.2", "e-mail", "t-abc", "t=[]", "e=7", "t-00", "ü-", "v", "t=", "e-789c",
        ]);
        assert_eq!(told, Told::default());
    }

    #[test]
    fn a_bomb_is_not_inflated_and_many_are_bounded() {
        let mut bomb = ZlibEncoder::new(Vec::new(), Compression::best());
        bomb.write_all(&vec![b' '; 64 << 20]).unwrap();
        let digits: String = bomb
            .finish()
            .unwrap()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(read(&[&format!("t-{digits}")]), Told::default());
        let mut small = 10;
        let tags = vec!["v=123456".to_owned(); 3];
        assert_eq!(texts(&tags, b'v', &mut small).collect::<Vec<_>>(), ["123456"]);
        let many = Endpoint {
            metadata: pairs(&[("x", &"{".repeat(MAX_OBJECTS))]),
            ..Endpoint::default()
        };
        let mut service = ServiceRecord::new("a", "1");
        service.endpoints.push(many);
        assert!(
            encode(&service, &Node::default())
                .unwrap_err()
                .contains("objects")
        );
    }

    proptest! {
        #[test]
        fn any_tags_are_read_without_harm(tags in prop::collection::vec("([tev][-=])?.{0,60}|[tev]-(789c[0-9a-f]{0,40})?", 0..8)) {
            let _ = decode(&tags, &mut BUDGET.clone());
        }

        #[test]
        fn what_was_written_is_read_back(version in ".{0,20}", key in ".{0,20}", value in ".{0,400}", name in ".{0,20}") {
            let node = Node::new("n", "").with_metadata(key, value);
            let mut service = ServiceRecord::new("greeter", version);
            service.endpoints.push(Endpoint { name, ..Endpoint::default() });
            let told = decode(&encode(&service, &node).unwrap(), &mut BUDGET.clone());
            prop_assert_eq!(told.version, service.version);
            prop_assert_eq!(told.metadata, node.metadata);
            prop_assert_eq!(told.endpoints, service.endpoints);
        }
    }
}
