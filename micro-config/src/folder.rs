//! Folders of keys, in stores such as Consul and etcd.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::tree::{DEEPEST, DocumentName, Place};
use crate::{Content, Document, Error, ErrorKind, Format, Result, format};

/// Which keys of a store are read, and how they become documents. For sources over stores whose keys have slashes, such
/// as Consul and etcd: what a key says stands at the path of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFolder {
    /// What the keys begin with. `/micro/config/` is all that is below it; `/micro/config`, without a slash at its end, is
    /// also the key of just this name, which says the whole. Default: `/micro/config/`, as Go Micro.
    pub prefix: String,
    /// Whether paths begin behind the prefix: `/micro/config/database/host` is `database.host`, and not
    /// `micro.config.database.host`. Default: yes. Go Micro's default is no.
    pub strip_prefix: bool,
    /// How all values are written. Default: none, each is looked at. One that begins as an object, a list or a string of
    /// JSON has to be one; so is a number, a truth value or `null`, where it can be written back just so; anything else is
    /// a text. A key that says the whole is in the format of its extension, such as that of `app.yaml`, and else in JSON.
    pub format: Option<Format>,
}

impl Default for KeyFolder {
    fn default() -> Self {
        Self {
            prefix: "/micro/config/".to_owned(),
            strip_prefix: true,
            format: None,
        }
    }
}

impl KeyFolder {
    /// What a text of the command line says, behind the name of its source and a colon, and the addresses that it names:
    /// `micro/config` or `//10.0.0.7:8500,10.0.0.8:8500/micro/config`, with `?format=yaml` or `&strip=false` at its end.
    /// Nothing: the default. The prefix begins with a slash even where the text does not.
    ///
    /// # Errors
    ///
    /// Of the kind [`Misused`](ErrorKind::Misused), when it has an option that there is not, or a login, which does not
    /// belong where everybody can see it.
    pub fn from_text(text: &str) -> Result<(Self, Vec<String>)> {
        let mut folder = Self::default();
        let (place, options) = text.split_once('?').unwrap_or((text, ""));
        let (addresses, prefix) = match place.strip_prefix("//") {
            Some(rest) => rest.split_once('/').unwrap_or((rest, "")),
            None => ("", place),
        };
        if addresses.contains('@') {
            return Err(misused(
                "a login does not belong into the text, where everybody can see it; give it by the options or variables \
                 that the source has for it",
            ));
        }
        if !prefix.is_empty() {
            folder.prefix = format!("/{}", prefix.trim_start_matches('/'));
        }
        for option in options.split('&').filter(|option| !option.is_empty()) {
            folder.set(option)?;
        }
        let addresses = addresses.split(',').filter(|address| !address.is_empty());
        Ok((folder, addresses.map(str::to_owned).collect()))
    }

    fn set(&mut self, option: &str) -> Result<()> {
        match option.split_once('=') {
            Some(("format", name)) => match Format::of_extension(name) {
                Some(format) => self.format = Some(format),
                None => {
                    return Err(misused(format_args!(
                        "there is no format {name:?}; there are json, yaml and toml"
                    )));
                }
            },
            Some(("strip", "true")) => self.strip_prefix = true,
            Some(("strip", "false")) => self.strip_prefix = false,
            _ => {
                return Err(misused(format_args!(
                    "there is no option {option:?}; there are format=json, yaml or toml, and strip=true or false"
                )));
            }
        }
        Ok(())
    }

    /// The prefix without the slash at its end.
    pub fn name(&self) -> &str {
        self.prefix.strip_suffix('/').unwrap_or(&self.prefix)
    }

    /// Whether a key of just the prefix's name is meant, too.
    pub fn is_with_own_key(&self) -> bool {
        !self.prefix.is_empty() && !self.prefix.ends_with('/')
    }

    /// What is behind the prefix of a key, or nothing where it is the prefix itself. None: the key is not meant.
    fn below<'a>(&self, key: &'a str) -> Option<&'a str> {
        match key.strip_prefix(self.name())? {
            "" => self.is_with_own_key().then_some(""),
            _ if self.prefix.is_empty() => Some(key),
            rest => rest.strip_prefix('/'),
        }
    }

    /// Whether a key is meant: it is in the folder, and not only of a name that begins as the folder's.
    pub fn has(&self, key: &str) -> bool {
        self.below(key).is_some()
    }

    /// What keys say, in the order of their names, which is that of the store. None: no key is in the folder. `origin` is
    /// how messages call a key.
    ///
    /// An empty value says nothing but that there is a folder. What a key says takes the place of what a key above it says
    /// of the same path, as in Go Micro: with `database` being `{"pool": {"size": 4}}` and `database/pool` being
    /// `{"idle": 1}`, the pool has no size.
    ///
    /// # Errors
    ///
    /// Of the kind [`Invalid`](ErrorKind::Invalid), when a value is no text.
    pub fn documents<'a>(
        &self,
        entries: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        origin: impl Fn(&str) -> String,
    ) -> Result<Option<Vec<Document>>> {
        let (mut folders, mut values, mut is_found) = (Vec::new(), Values::default(), false);
        for (key, value) in entries {
            let Some(below) = self.below(key) else {
                continue;
            };
            is_found = true;
            let path = self.path(key, below);
            if value.is_empty() {
                let empty = Document::value(origin(key), Value::Object(serde_json::Map::new()));
                let folder = &path[..path.len().saturating_sub(1)];
                folders.push(empty.at(folder.iter().copied()));
            } else {
                values.push(self.document(value, key, below, origin(key))?.at(path));
            }
        }
        // What has a value is no folder, whatever else says so.
        folders.extend(values.into_documents());
        Ok(is_found.then_some(folders))
    }

    fn path<'a>(&self, key: &'a str, below: &'a str) -> Vec<&'a str> {
        let text = match self.strip_prefix {
            true => below,
            false => key,
        };
        match text.strip_prefix('/').unwrap_or(text) {
            "" => Vec::new(),
            text => text.split('/').collect(),
        }
    }

    fn document(&self, value: &[u8], key: &str, below: &str, origin: String) -> Result<Document> {
        let text = text_of(value, &origin)?;
        if let Some(format) = self.format {
            return Ok(Document::text(origin, format, text));
        }
        if below.is_empty() {
            let extension = key.rsplit_once('.').map(|(_, extension)| extension);
            let format = extension.and_then(Format::of_extension);
            return Ok(Document::text(origin, format.unwrap_or(Format::Json), text));
        }
        if text.trim_start().starts_with(['{', '[', '"']) {
            return Ok(Document::text(origin, Format::Json, text));
        }
        Ok(Document::value(origin, scalar(text)))
    }
}

/// What keys say, in their order.
#[derive(Default)]
struct Values {
    documents: Vec<Document>,
    /// Which document is at a path.
    places: HashMap<Vec<String>, usize>,
    /// What documents say that have keys below them, each parsed once.
    parsed: HashMap<usize, Parsed>,
}

struct Parsed {
    /// None: it cannot be parsed.
    value: Option<Value>,
    /// Whether something was taken out of it.
    is_less: bool,
}

impl Values {
    fn push(&mut self, document: Document) {
        // Deeper paths are refused anyway.
        for length in 0..document.path.len().min(DEEPEST) {
            let (above, below) = document.path.split_at(length);
            if let Some(&place) = self.places.get(above) {
                self.leave_out(place, below);
            }
        }
        self.places.insert(document.path.clone(), self.documents.len());
        self.documents.push(document);
    }

    /// Takes a table out of what another key says. Anything else than a table is replaced in merging. What cannot be
    /// parsed stays as it is, for whoever tells of it.
    fn leave_out(&mut self, place: usize, path: &[String]) {
        let content = &self.documents[place].content;
        let parsed = self.parsed.entry(place).or_insert_with(|| Parsed {
            value: value_of(content),
            is_less: false,
        });
        let (Some(value), Some((last, tables))) = (&mut parsed.value, path.split_last()) else {
            return;
        };
        let table = tables.iter().try_fold(value, |value, name| value.get_mut(name));
        if let Some(table) = table.and_then(Value::as_object_mut)
            && table.get(last).is_some_and(Value::is_object)
        {
            table.remove(last);
            parsed.is_less = true;
        }
    }

    fn into_documents(mut self) -> Vec<Document> {
        for (place, parsed) in self.parsed {
            if let Some(value) = parsed.value.filter(|_| parsed.is_less) {
                self.documents[place].content = Content::Value(value);
            }
        }
        self.documents
    }
}

fn value_of(content: &Content) -> Option<Value> {
    match content {
        Content::Value(value) => Some(value.clone()),
        Content::Text { format, text } => {
            let nowhere = DocumentName {
                source: String::new(),
                origin: String::new(),
            };
            let tree = format::parse(*format, text, &Place::whole(Arc::new(nowhere)));
            tree.ok().map(|tree| tree.to_value())
        }
    }
}

/// A number, a truth value or null where writing it gives the same text, so that `007` and `1e3` stay what they are.
fn scalar(text: &str) -> Value {
    let trimmed = text.trim();
    let parsed = serde_json::from_str::<Value>(trimmed).ok();
    let written = parsed.as_ref().map(Value::to_string);
    match parsed {
        Some(value) if written.as_deref() == Some(trimmed) => value,
        _ => text.into(),
    }
}

fn text_of<'a>(value: &'a [u8], origin: &str) -> Result<&'a str> {
    match std::str::from_utf8(value) {
        Ok(text) => Ok(text),
        Err(problem) => Err(Error::new(
            ErrorKind::Invalid,
            format_args!(
                "it is no text: the byte {} is not of UTF-8 ({origin})",
                problem.valid_up_to()
            ),
        )),
    }
}

fn misused(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Misused, why)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn folder(prefix: &str) -> KeyFolder {
        KeyFolder {
            prefix: prefix.to_owned(),
            ..KeyFolder::default()
        }
    }

    fn documents(folder: &KeyFolder, entries: &[(&str, &str)]) -> Vec<(String, Content)> {
        let entries = entries.iter().map(|(key, value)| (*key, value.as_bytes()));
        let documents = folder.documents(entries, |key| format!("key {key}")).unwrap();
        let told = documents.into_iter().flatten();
        told.map(|document| (document.path.join("."), document.content))
            .collect()
    }

    fn text(format: Format, text: &str) -> Content {
        Content::Text {
            format,
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_text_names_addresses_and_a_prefix_and_what_it_leaves_out_is_go_micros() {
        let rows: [(&str, &str, &[&str]); 7] = [
            ("", "/micro/config/", &[]),
            ("micro/config", "/micro/config", &[]),
            ("/shop/", "/shop/", &[]),
            (
                "//127.0.0.1:8500/micro/config",
                "/micro/config",
                &["127.0.0.1:8500"],
            ),
            ("//a,b:1/", "/micro/config/", &["a", "b:1"]),
            ("//a", "/micro/config/", &["a"]),
            ("///shop", "/shop", &[]),
        ];
        for (text, prefix, addresses) in rows {
            let (folder, named) = KeyFolder::from_text(text).unwrap();
            assert_eq!(
                (folder.prefix.as_str(), named.as_slice().len()),
                (prefix, addresses.len())
            );
            assert_eq!(named, addresses, "{text}");
        }
        let (folder, _) = KeyFolder::from_text("shop?format=yml&strip=false").unwrap();
        assert_eq!((folder.format, folder.strip_prefix), (Some(Format::Yaml), false));
    }

    #[test]
    fn what_a_text_cannot_say_is_refused_and_a_login_is_not_repeated() {
        for text in [
            "a?format=xml",
            "a?strip",
            "a?strip=maybe",
            "a?b=c",
            "//me:secret@host/a",
        ] {
            let error = KeyFolder::from_text(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misused, "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn keys_become_paths_and_their_values_json_or_texts() {
        let entries = [
            ("/shop", "not meant"),
            ("/shop/", ""),
            ("/shop/database", r#"{"size": 4}"#),
            ("/shop/database/host", "db.example"),
            ("/shop/database/port", "5432"),
            ("/shop/list", " [1]"),
            ("/shop/number", "007"),
            ("/shop/off", "false\n"),
            ("/shop/quoted", r#""5""#),
            ("/shop/rate", "1e3"),
            ("/shopping/else", "1"),
        ];
        let value = Content::Value;
        let expected = [
            ("", value(json!({}))),
            ("database", text(Format::Json, r#"{"size": 4}"#)),
            ("database.host", value(json!("db.example"))),
            ("database.port", value(json!(5432))),
            ("list", text(Format::Json, " [1]")),
            ("number", value(json!("007"))),
            ("off", value(json!(false))),
            ("quoted", text(Format::Json, r#""5""#)),
            ("rate", value(json!("1e3"))),
        ];
        let told = documents(&folder("/shop/"), &entries);
        let told: Vec<_> = told
            .iter()
            .map(|(path, content)| (path.as_str(), content.clone()))
            .collect();
        assert!(
            told == expected,
            "{:?}",
            told.iter().map(|(path, _)| path).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_key_takes_the_place_of_what_a_key_above_it_says_of_its_path() {
        let entries = [
            (
                "/shop/a",
                r#"{"pool": {"size": 4}, "list": [1], "x": {"y": {"z": 1, "w": 2}}}"#,
            ),
            ("/shop/a/pool", r#"{"idle": 1}"#),
            ("/shop/a/x/y/z", r#"{"deep": true}"#),
            ("/shop/b", "{"),
            ("/shop/b/c", "{}"),
            ("/shop/d", r#"{"e": 1}"#),
            ("/shop/d/f", r#"{"g": 1}"#),
        ];
        let told = documents(&folder("/shop/"), &entries);
        let content = |path: &str| {
            told.iter()
                .find(|(told, _)| told == path)
                .map(|(_, content)| content)
        };
        let expected = json!({"list": [1], "x": {"y": {"z": 1, "w": 2}}});
        assert!(content("a") == Some(&Content::Value(expected)));
        assert!(
            content("b") == Some(&text(Format::Json, "{")),
            "left for whoever tells of it"
        );
        assert!(content("d") == Some(&text(Format::Json, r#"{"e": 1}"#)));
    }

    #[test]
    fn a_key_of_the_prefix_says_the_whole_in_the_format_of_its_extension() {
        let told = documents(
            &folder("shop"),
            &[("shop", "x"), ("shop-2", "y"), ("shop/a", "1")],
        );
        assert!(
            told == [
                (String::new(), text(Format::Json, "x")),
                ("a".into(), Content::Value(1.into()))
            ]
        );
        let told = documents(&folder("a/app.yaml"), &[("a/app.yaml", "x: 1")]);
        assert!(told == [(String::new(), text(Format::Yaml, "x: 1"))]);
        let toml = KeyFolder {
            format: Some(Format::Toml),
            ..folder("shop")
        };
        let told = documents(&toml, &[("shop", "x = 1"), ("shop/b", "y = 2")]);
        assert!(
            told == [
                (String::new(), text(Format::Toml, "x = 1")),
                ("b".into(), text(Format::Toml, "y = 2"))
            ]
        );
    }

    #[test]
    fn a_prefix_that_is_kept_is_part_of_the_path() {
        let kept = KeyFolder {
            strip_prefix: false,
            ..folder("/micro/config")
        };
        let told = documents(&kept, &[("/micro/config", "{}"), ("/micro/config/a/b", "1")]);
        let paths: Vec<&str> = told.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["micro.config", "micro.config.a.b"]);
        let all = folder("");
        let told = documents(&all, &[("/a", "1"), ("b/c", "2")]);
        let paths: Vec<&str> = told.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["a", "b.c"]);
    }

    #[test]
    fn nothing_in_the_folder_is_told_apart_from_an_empty_one() {
        let none: [(&str, &[u8]); 1] = [("/shopping", b"1")];
        let origin = |key: &str| key.to_owned();
        assert!(folder("/shop").documents(none, origin).unwrap().is_none());
        let empty: [(&str, &[u8]); 1] = [("/shop/", b"")];
        assert!(folder("/shop").documents(empty, origin).unwrap().is_some());
    }

    #[test]
    fn many_keys_below_a_large_one_are_little_work() {
        let tables = (0..20_000).map(|number| format!("\"t{number}\": {{}}"));
        let large = format!("{{{}}}", tables.collect::<Vec<_>>().join(","));
        let keys: Vec<String> = (0..20_000).map(|number| format!("/shop/a/t{number}")).collect();
        let mut entries = vec![("/shop/a", large.as_str())];
        entries.extend(keys.iter().map(|key| (key.as_str(), "{}")));
        let deep = format!("/shop/{}", "a/".repeat(200_000));
        entries.push((&deep, "{}"));
        let began = std::time::Instant::now();
        let told = documents(&folder("/shop/"), &entries);
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
        assert!(told[0] == ("a".to_owned(), Content::Value(json!({}))));
    }

    #[test]
    fn what_is_no_text_is_refused_by_the_keys_name() {
        let entries: [(&str, &[u8]); 1] = [("/shop/a", b"a\xff")];
        let error = folder("/shop/")
            .documents(entries, |key| format!("etcd key {key}"))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("the byte 1") && error.to_string().contains("/shop/a"));
    }
}
