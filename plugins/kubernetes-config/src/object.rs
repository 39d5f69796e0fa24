//! What a ConfigMap or a Secret holds, and what is made of it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use micro_config::{Document, Format};
use micro_kubernetes_connection::{Metadata, Object};
use serde::Deserialize;
use serde_json::Value;

use crate::config::ObjectKind;

/// What is read of a ConfigMap or a Secret. It has no `Debug`, because its values may be secret.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Holder {
    pub(crate) metadata: Metadata,
    pub(crate) data: Option<Entries>,
}

/// Values by their keys, as the server has them.
pub(crate) type Entries = BTreeMap<String, String>;

impl Object for Holder {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// What the entries say: documents by the extensions of their keys, and behind them single values, each in the order of
/// their keys. `holder` names the object, for messages.
pub(crate) fn documents(kind: ObjectKind, entries: &Entries, holder: &str) -> Vec<Document> {
    let texts = entries
        .iter()
        .filter_map(|(key, value)| Some((key, text_of(kind, value)?)));
    let (mut whole, mut single) = (Vec::new(), Vec::new());
    for (key, text) in texts {
        let origin = format!("{holder}, key {key}");
        match format_of(key) {
            Some(format) => whole.push(Document::text(origin, format, text)),
            None => {
                let path: Vec<&str> = key.split('.').filter(|name| !name.is_empty()).collect();
                if !path.is_empty() {
                    single.push(Document::value(origin, Value::String(trimmed(text))).at(path));
                }
            }
        }
    }
    whole.append(&mut single);
    whole
}

/// None: it is no text.
fn text_of(kind: ObjectKind, value: &str) -> Option<String> {
    match kind {
        ObjectKind::ConfigMap => Some(value.to_owned()),
        ObjectKind::Secret => String::from_utf8(BASE64_STANDARD.decode(value).ok()?).ok(),
    }
}

/// The format of a document, if the key has the extension of one.
fn format_of(key: &str) -> Option<Format> {
    key.rsplit_once('.')
        .and_then(|(_, extension)| Format::of_extension(extension))
}

/// Without the newline that files end with.
fn trimmed(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use micro_config::Content;

    use super::*;

    fn of(kind: ObjectKind, entries: &[(&str, &str)]) -> Vec<Document> {
        let entries = entries
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        documents(kind, &entries, "ConfigMap shop/greeter")
    }

    #[test]
    fn keys_with_an_extension_are_documents_and_others_are_values_at_their_path() {
        let documents = of(
            ObjectKind::ConfigMap,
            &[
                ("app.yaml", "size: 4\n"),
                ("database.host", "db-1\n"),
                ("z.TOML", ""),
                ("log_level", "debug"),
            ],
        );
        let origins: Vec<&str> = documents
            .iter()
            .map(|document| document.origin.as_str())
            .collect();
        assert_eq!(
            origins,
            [
                "ConfigMap shop/greeter, key app.yaml",
                "ConfigMap shop/greeter, key z.TOML",
                "ConfigMap shop/greeter, key database.host",
                "ConfigMap shop/greeter, key log_level",
            ]
        );
        let Content::Text { format, text } = &documents[0].content else {
            panic!("it is a text");
        };
        assert_eq!((*format, text.as_str()), (Format::Yaml, "size: 4\n"));
        assert!(documents[0].path.is_empty());
        assert_eq!(documents[2].path, ["database", "host"]);
        assert!(documents[2].content == Content::Value("db-1".into()));
    }

    #[test]
    fn the_values_of_a_secret_are_texts_in_base64_and_what_is_no_text_is_left_out() {
        let documents = of(
            ObjectKind::Secret,
            &[
                ("password", "MDEyMwo="),
                ("keystore", "/w=="),
                ("broken", "no base64"),
            ],
        );
        assert_eq!(documents.len(), 1);
        assert!(documents[0].content == Content::Value("0123".into()));
    }

    #[test]
    fn a_key_of_dots_alone_is_no_path() {
        assert!(of(ObjectKind::ConfigMap, &[(".", "x")]).is_empty());
        assert_eq!(
            of(ObjectKind::ConfigMap, &[("a..b", "x\r\n")])[0].path,
            ["a", "b"]
        );
    }
}
