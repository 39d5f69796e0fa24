//! What the entries of a bucket say.

use std::collections::BTreeMap;

use async_nats::HeaderMap;
use bytes::Bytes;
use micro_config::{Document, Error, ErrorKind, Format, Result};
use serde_json::Value;

use crate::config::Keys;

/// Values by their keys. Those that were deleted are not among them.
pub(crate) type Entries = BTreeMap<String, Bytes>;

/// Whether a message says that its key is no longer there: somebody deleted or purged it, or it lapsed.
pub(crate) fn is_removal(headers: Option<&HeaderMap>) -> bool {
    let said = |name: &str| headers.and_then(|headers| headers.get(name));
    let operation = said("KV-Operation").map(|operation| operation.as_str());
    matches!(operation, Some("DEL" | "PURGE")) || said("Nats-Marker-Reason").is_some()
}

/// The one document, or each key's value at its path. None: there is no such key.
///
/// # Errors
///
/// When a value is no text, or looks like JSON and is none.
pub(crate) fn documents(
    keys: &Keys,
    entries: &Entries,
    format: Option<Format>,
    bucket: &str,
) -> Result<Option<Vec<Document>>> {
    let origin = |key: &str| format!("nats bucket {bucket}, key {key}");
    match keys {
        Keys::One(key) => {
            // As in Go Micro, what is empty is not there.
            let Some(value) = entries.get(key).filter(|value| !value.is_empty()) else {
                return Ok(None);
            };
            let format = format.unwrap_or_else(|| format_of(key));
            let text = text_of(value, &origin(key))?;
            Ok(Some(vec![Document::text(origin(key), format, text)]))
        }
        // What is empty by now may have been lost, and is never the word that nothing counts any more.
        Keys::Below(_) if entries.is_empty() => Ok(None),
        Keys::Below(prefix) => {
            let entries = entries.iter().map(|(key, value)| {
                let document = document(value, origin(key))?;
                let path = key.strip_prefix(prefix).unwrap_or(key);
                Ok(document.at(path.split('.')))
            });
            entries.collect::<Result<_>>().map(Some)
        }
    }
}

/// One value among many: JSON where it begins as an object, a list or a string of it does, and else a text.
fn document(value: &[u8], origin: String) -> Result<Document> {
    let text = text_of(value, &origin)?;
    Ok(match text.trim_start().starts_with(['{', '[', '"']) {
        true => Document::text(origin, Format::Json, text),
        false => Document::value(origin, Value::String(text.to_owned())),
    })
}

fn text_of<'a>(value: &'a [u8], origin: &str) -> Result<&'a str> {
    std::str::from_utf8(value).map_err(|problem| {
        Error::new(
            ErrorKind::Invalid,
            format_args!(
                "{origin}: it is no text: the byte {} is not of UTF-8",
                problem.valid_up_to()
            ),
        )
    })
}

fn format_of(key: &str) -> Format {
    let extension = key.rsplit_once('.').map(|(_, extension)| extension);
    extension.and_then(Format::of_extension).unwrap_or(Format::Json)
}

#[cfg(test)]
mod tests {
    use micro_config::Content;

    use super::*;

    fn entries(rows: &[(&str, &'static str)]) -> Entries {
        rows.iter()
            .map(|&(key, value)| (key.to_owned(), Bytes::from_static(value.as_bytes())))
            .collect()
    }

    fn one(key: &str, value: &'static str, format: Option<Format>) -> Option<Vec<Document>> {
        let keys = Keys::One(key.to_owned());
        documents(&keys, &entries(&[(key, value)]), format, "shop").unwrap()
    }

    #[test]
    fn a_key_is_a_document_in_the_format_of_its_extension_and_else_in_json() {
        let format = |key: &str, format| match one(key, "x", format).unwrap().remove(0).content {
            Content::Text { format, .. } => format,
            Content::Value(_) => panic!("it is a text"),
        };
        assert_eq!(format("micro_config", None), Format::Json);
        assert_eq!(format("app.yaml", None), Format::Yaml);
        assert_eq!(format("a.toml", None), Format::Toml);
        assert_eq!(format("a.b", None), Format::Json);
        assert_eq!(format("app.yaml", Some(Format::Toml)), Format::Toml);
    }

    #[test]
    fn an_empty_key_is_not_there() {
        assert!(one("a", "", None).is_none());
    }

    #[test]
    fn without_any_key_there_is_nothing() {
        for keys in [Keys::One("a".into()), Keys::Below("shop.".into())] {
            let nothing = documents(&keys, &Entries::new(), None, "shop").unwrap();
            assert!(nothing.is_none(), "{keys:?}");
        }
    }

    #[test]
    fn many_keys_are_paths_and_their_values_texts_or_json() {
        let entries = entries(&[
            ("shop.database", r#"{"size": 4}"#),
            ("shop.database.host", "[::1"),
            ("shop.password", "0123"),
            ("shop.quoted", r#" "[::1]""#),
        ]);
        let documents = documents(&Keys::Below("shop.".into()), &entries, None, "shop").unwrap();
        let documents = documents.unwrap();
        let told: Vec<(Vec<String>, bool)> = documents
            .iter()
            .map(|document| {
                (
                    document.path.clone(),
                    matches!(document.content, Content::Text { .. }),
                )
            })
            .collect();
        let path = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let expected = [
            (path(&["database"]), true),
            (path(&["database", "host"]), true),
            (path(&["password"]), false),
            (path(&["quoted"]), true),
        ];
        assert_eq!(told, expected);
        assert!(documents[2].content == Content::Value("0123".into()));
        assert_eq!(documents[2].origin, "nats bucket shop, key shop.password");
    }

    #[test]
    fn what_is_no_text_is_told_with_its_place() {
        let entries = Entries::from([("a".to_owned(), Bytes::from_static(b"ab\xff"))]);
        for keys in [Keys::One("a".into()), Keys::Below(String::new())] {
            let error = documents(&keys, &entries, None, "shop").err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(
                error.to_string().contains("key a") && error.to_string().contains("byte 2"),
                "{error}"
            );
        }
    }

    #[test]
    fn markers_of_all_kinds_remove() {
        let with = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value);
            is_removal(Some(&headers))
        };
        assert!(with("KV-Operation", "DEL") && with("KV-Operation", "PURGE"));
        assert!(with("Nats-Marker-Reason", "MaxAge"));
        assert!(!with("KV-Operation", "PUT") && !is_removal(None));
    }
}
