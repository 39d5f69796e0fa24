//! The text of a node: JSON, compressed, in hexadecimal digits, cut into the strings of a TXT record.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use micro_core::registry::{Endpoint, ServiceRecord};
use serde::{Deserialize, Serialize};

/// What a record may inflate to, in bytes, and how many JSON objects it may hold.
pub(crate) const MAX_JSON: usize = 2 << 20;
const MAX_OBJECTS: usize = 16_384;
/// The longest string in a TXT record.
const MAX_STRING: usize = 255;

/// The JSON in a TXT record. Go reads the keys in any case.
#[derive(Deserialize)]
pub(crate) struct Text {
    #[serde(rename = "Metadata", alias = "metadata", default)]
    pub(crate) metadata: Option<BTreeMap<String, String>>,
    #[serde(rename = "Service", alias = "service")]
    pub(crate) service: String,
    #[serde(rename = "Version", alias = "version", default)]
    pub(crate) version: String,
    #[serde(rename = "Endpoints", alias = "endpoints", default)]
    pub(crate) endpoints: Option<Vec<Endpoint>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TextView<'a> {
    metadata: Option<&'a BTreeMap<String, String>>,
    service: &'a str,
    version: &'a str,
    endpoints: Option<&'a [Endpoint]>,
}

/// The strings of a node's TXT record, each behind its length. The error says in words which limit it breaks.
pub(crate) fn encode_text(record: &ServiceRecord) -> Result<Vec<u8>, String> {
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

/// Reads the strings of a TXT record, and takes what they inflate to off the budget. Returns the size as well.
pub(crate) fn decode_text(strings: &[u8], budget: &mut usize) -> Option<(Text, usize)> {
    let packed = from_strings(strings)?;
    let mut json = Vec::new();
    let mut zlib = ZlibDecoder::new(&packed[..]).take(*budget as u64 + 1);
    let inflated = zlib.read_to_end(&mut json);
    let left = budget.checked_sub(json.len());
    *budget = left.unwrap_or(0);
    inflated.ok().zip(left)?;
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
mod tests {
    use micro_core::registry::Node;
    use proptest::prelude::*;

    use super::*;

    fn record() -> ServiceRecord {
        let node = Node::new("n", "127.0.0.1:1")
            .with_metadata("broker", "http")
            .with_metadata("secure", "false")
            .with_metadata("topic", "interop.notice2");
        ServiceRecord::new("micro.http.broker", "ff.http.broadcast").with_nodes(vec![node])
    }

    #[test]
    fn the_text_is_the_json_that_go_writes() {
        let strings = encode_text(&record()).unwrap();
        assert_eq!(usize::from(strings[0]), strings.len() - 1, "one string");
        assert!(strings[1..].starts_with(b"789c"), "{:?}", &strings[1..5]);
        assert!(
            strings[1..]
                .iter()
                .all(|digit| b"0123456789abcdef".contains(digit))
        );
        let mut json = String::new();
        ZlibDecoder::new(&from_strings(&strings).unwrap()[..])
            .read_to_string(&mut json)
            .unwrap();
        assert_eq!(
            json,
            r#"{"Metadata":{"broker":"http","secure":"false","topic":"interop.notice2"},"Service":"micro.http.broker","Version":"ff.http.broadcast","Endpoints":null}"#
        );
    }

    #[test]
    fn long_texts_are_cut_into_strings_of_255() {
        for length in [0_usize, 1, 127, 128, 254, 255, 510, 4000] {
            let packed: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let strings = to_strings(&packed);
            assert_eq!(from_strings(&strings).unwrap(), packed);
            assert_eq!(
                strings.len(),
                length * 2 + (length * 2).div_ceil(255).max(1),
                "{length}"
            );
            assert!(length * 2 < 255 || strings[0] == 255);
        }
    }

    #[test]
    fn a_bomb_is_not_inflated() {
        let mut bomb = ZlibEncoder::new(Vec::new(), Compression::best());
        bomb.write_all(&vec![b' '; 64 << 20]).unwrap();
        let strings = to_strings(&bomb.finish().unwrap());
        assert!(decode_text(&strings, &mut MAX_JSON.clone()).is_none());
        let mut record = record();
        record.endpoints = vec![Endpoint::default(); MAX_OBJECTS];
        assert!(encode_text(&record).unwrap_err().contains("objects"));
    }

    proptest! {
        #[test]
        fn any_strings_are_read_without_harm(strings in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = decode_text(&strings, &mut MAX_JSON.clone());
        }

        #[test]
        fn any_json_is_read_without_harm(json in ".{0,200}") {
            let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
            zlib.write_all(json.as_bytes()).unwrap();
            let _ = decode_text(&to_strings(&zlib.finish().unwrap()), &mut MAX_JSON.clone());
        }

        #[test]
        fn what_was_written_is_read_back(
            name in ".{1,20}", version in ".{0,20}", key in ".{0,20}", value in ".{0,400}", endpoint in ".{0,20}",
        ) {
            let node = Node::new("n", "").with_metadata(key, value);
            let mut record = ServiceRecord::new(name, version).with_nodes(vec![node]);
            record.endpoints.push(Endpoint { name: endpoint, ..Endpoint::default() });
            let (text, _) = decode_text(&encode_text(&record).unwrap(), &mut MAX_JSON.clone()).unwrap();
            prop_assert_eq!((text.service, text.version), (record.name, record.version));
            prop_assert_eq!(text.metadata.unwrap(), record.nodes[0].metadata.clone());
            prop_assert_eq!(text.endpoints.unwrap(), record.endpoints);
        }
    }
}
