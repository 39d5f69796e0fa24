//! How sources of configuration are named: `file:conf.toml`, `optional:etcd://10.0.0.5:2379/shop`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::PluginArguments;

/// Before a source that may be missing.
const OPTIONAL: &str = "optional:";
/// What a name without a kind is.
const FILE: &str = "file";

/// What a source of configuration is made from: what its name says, and the environment.
#[derive(Clone)]
#[non_exhaustive]
pub struct SourceArguments {
    /// What kind of source it is: `etcd`.
    pub kind: String,
    /// What follows the kind and its colon, as it is written: `//10.0.0.5:2379/shop`.
    pub text: String,
    environment: Arc<HashMap<String, String>>,
}

impl SourceArguments {
    /// A variable of the environment, such as `ETCD_USERNAME`, for what the name does not say. Empty ones count as unset.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let value = self.environment.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// All variables that are text.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The same for what is made of flags.
    #[allow(dead_code, reason = "a program may link no source with a server")]
    pub(super) fn as_plugin(&self) -> PluginArguments {
        PluginArguments {
            environment: self.environment.clone(),
            ..PluginArguments::default()
        }
    }
}

impl fmt::Debug for SourceArguments {
    // The environment is left out: it holds secrets. The text may be a URL with a password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SourceArguments")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// One source as it is named.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) is_optional: bool,
    pub(crate) arguments: SourceArguments,
}

impl Named {
    /// Reads a name; `is_known` tells kinds from the beginnings of paths.
    pub(crate) fn read(
        name: &str,
        environment: &Arc<HashMap<String, String>>,
        is_known: impl Fn(&str) -> bool,
    ) -> Self {
        let (is_optional, name) = match name.strip_prefix(OPTIONAL) {
            Some(name) => (true, name),
            None => (false, name),
        };
        let (kind, text) = match name.split_once(':') {
            Some((kind, text)) if is_known(kind) || is_word(kind) => (kind, text),
            _ => (FILE, name),
        };
        Self {
            is_optional,
            arguments: SourceArguments {
                kind: kind.to_owned(),
                text: text.to_owned(),
                environment: environment.clone(),
            },
        }
    }
}

/// A name for messages: what may be a login between `//` and the next `/` is left out.
pub(crate) fn without_login(name: &str) -> String {
    let Some((before, rest)) = name.split_once("//") else {
        return name.to_owned();
    };
    let (servers, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let servers: Vec<_> = servers
        .split(',')
        .map(|server| match server.rsplit_once('@') {
            Some((_, host)) => format!("***@{host}"),
            None => server.to_owned(),
        })
        .collect();
    format!("{before}//{}{after}", servers.join(","))
}

/// Whether it could be a kind: paths have other letters, and drives only one.
fn is_word(kind: &str) -> bool {
    kind.len() > 1
        && kind
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
}

/// Names with commas between them. Commas between `//` and the next `/` are between servers, except in URLs, which have
/// only one.
pub(crate) fn split(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = end(rest);
        names.push(rest[..end].trim().to_owned());
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    names
}

/// Where the first name ends.
fn end(text: &str) -> usize {
    let comma = |from: usize| text[from..].find(',').map_or(text.len(), |at| from + at);
    let first = comma(0);
    match text[..first].find("://") {
        Some(at) if !text[..at].ends_with("http") && !text[..at].ends_with("https") => {
            let servers = at + "://".len();
            match text[servers..].find('/') {
                Some(path) => comma(servers + path),
                None => first,
            }
        }
        _ => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> Named {
        Named::read(name, &Arc::default(), |kind| kind == "x")
    }

    #[test]
    fn a_name_says_the_kind_and_what_is_left_is_for_the_source() {
        for (name, kind, text) in [
            ("conf.toml", "file", "conf.toml"),
            ("file:conf.toml", "file", "conf.toml"),
            ("./a:b.toml", "file", "./a:b.toml"),
            ("C:\\conf.toml", "file", "C:\\conf.toml"),
            ("x:y", "x", "y"),
            ("optional:etcd:shop/live", "etcd", "shop/live"),
            ("etcd://a:1,b:2/shop/live", "etcd", "//a:1,b:2/shop/live"),
            ("env:", "env", ""),
            ("pigeon:coop", "pigeon", "coop"),
        ] {
            let Named {
                is_optional,
                arguments,
            } = read(name);
            assert_eq!(is_optional, name.starts_with("optional:"), "{name}");
            assert_eq!((&*arguments.kind, &*arguments.text), (kind, text), "{name}");
        }
    }

    #[test]
    fn no_message_shows_a_login() {
        for (name, shown) in [
            ("conf.toml", "conf.toml"),
            ("etcd:shop/a@b", "etcd:shop/a@b"),
            ("http://ann:hush@host/a@b", "http://***@host/a@b"),
            ("http://hush@host?a", "http://***@host?a"),
            (
                "optional:nats://ann:hush@a:1,b:2,c:hu@sh@d/x",
                "optional:nats://***@a:1,b:2,***@d/x",
            ),
        ] {
            assert_eq!(without_login(name), shown);
        }
    }

    #[test]
    fn commas_are_between_sources_and_between_servers() {
        for (text, names) in [
            ("", vec![]),
            ("a.toml", vec!["a.toml"]),
            ("a.toml, env:APP,", vec!["a.toml", "env:APP"]),
            (
                "etcd://a:1,b:2/shop,c.toml",
                vec!["etcd://a:1,b:2/shop", "c.toml"],
            ),
            ("etcd://a:1,c.toml", vec!["etcd://a:1", "c.toml"]),
            ("http://a:1,file:b.toml", vec!["http://a:1", "file:b.toml"]),
            (
                "a.toml,consul://a/x,consul:b",
                vec!["a.toml", "consul://a/x", "consul:b"],
            ),
            ("ü,ö://ä,", vec!["ü", "ö://ä"]),
        ] {
            assert_eq!(split(text), names, "{text}");
        }
    }
}
