//! Which keys are read, and where they are.

use std::fmt;
use std::time::Duration;

use micro_config::{Format, Result};
use micro_nats_connection::NatsServers;

use crate::error;

/// Which keys are read, and where they are. The default reads what Go Micro's source reads by default, at a server of this
/// machine.
#[derive(Debug, Clone)]
pub struct NatsSourceConfig {
    /// Where NATS is, and how to log in.
    pub servers: NatsServers,
    /// The bucket: letters, digits, dashes and underscores. Default: `default`.
    pub bucket: String,
    /// The key that holds a document. With `>` at its end, behind a dot or alone, all keys that begin so, of which each
    /// is a path: of `shop.>`, the key `shop.database.host` is `database.host`. Default: `micro_config`.
    pub key: String,
    /// How the document of one key is written. `None`: as the key's extension says, such as that of `app.yaml`, and else
    /// in JSON. Default: `None`.
    pub format: Option<Format>,
    /// How long one reading may take, connecting included. Default: 5 s.
    pub request_timeout: Duration,
}

impl Default for NatsSourceConfig {
    fn default() -> Self {
        Self {
            servers: NatsServers::default(),
            bucket: "default".to_owned(),
            key: "micro_config".to_owned(),
            format: None,
            request_timeout: Duration::from_secs(5),
        }
    }
}

/// Which keys of a bucket are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Keys {
    One(String),
    /// All that begin with this, which is empty or ends with a dot.
    Below(String),
}

/// As it is said of what is not there.
impl fmt::Display for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(key) => write!(formatter, "key {key}"),
            Self::Below(prefix) if prefix.is_empty() => formatter.write_str("key"),
            Self::Below(prefix) => write!(formatter, "key that begins with {prefix}"),
        }
    }
}

impl NatsSourceConfig {
    /// What a text of the command line says, behind its `nats:`: `bucket/key`, `bucket/>` or `bucket/shop.>`. What it
    /// leaves out is as by default: `bucket` reads its key `micro_config`, and an empty text that of the bucket `default`.
    /// The servers are those of the default; who has others puts them into [`servers`](Self::servers).
    ///
    /// # Errors
    ///
    /// Of the kind [`Misused`](micro_config::ErrorKind::Misused), when no bucket or no key is called so.
    pub fn from_text(text: &str) -> Result<Self> {
        let mut config = Self::default();
        let (bucket, key) = match text.split_once('/') {
            Some((bucket, key)) => (bucket, Some(key)),
            None => (text, None),
        };
        if !text.is_empty() {
            bucket.clone_into(&mut config.bucket);
        }
        if let Some(key) = key {
            key.clone_into(&mut config.key);
        }
        config.keys()?;
        Ok(config)
    }

    /// Which keys are meant, all of the configuration but the servers checked.
    pub(crate) fn keys(&self) -> Result<Keys> {
        if self.request_timeout.is_zero() {
            return Err(error::misused(
                "a timeout of zero lets nothing happen; give at least a millisecond",
            ));
        }
        let is_plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
        if self.bucket.is_empty() || !self.bucket.chars().all(is_plain) {
            return Err(error::misused(format_args!(
                "{:?} is no name of a bucket: letters, digits, dashes and underscores",
                self.bucket
            )));
        }
        let keys = match self.key.strip_suffix('>') {
            Some("") => return Ok(Keys::Below(String::new())),
            Some(prefix) => prefix.strip_suffix('.').filter(|prefix| is_key(prefix)),
            None => Some(self.key.as_str()).filter(|key| is_key(key)),
        };
        match keys {
            Some(prefix) if self.key.ends_with('>') => Ok(Keys::Below(format!("{prefix}."))),
            Some(key) => Ok(Keys::One(key.to_owned())),
            None => Err(error::misused(format_args!(
                "{:?} is no key of a bucket: letters, digits and -/_=. without dots at its ends or beside each other; with \
                 .> behind it, or as > alone, it stands for many",
                self.key
            ))),
        }
    }
}

/// What NATS takes for a key.
fn is_key(text: &str) -> bool {
    let is_fine = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '/' | '_' | '=');
    text.split('.')
        .all(|part| !part.is_empty() && part.chars().all(is_fine))
}

#[cfg(test)]
mod tests {
    use micro_config::ErrorKind;

    use super::*;

    #[test]
    fn a_text_names_a_bucket_and_a_key_and_what_it_leaves_out_is_go_micros() {
        let one = |key: &str| Keys::One(key.to_owned());
        let below = |prefix: &str| Keys::Below(prefix.to_owned());
        let rows = [
            ("", "default", one("micro_config")),
            ("shop", "shop", one("micro_config")),
            ("shop/app.yaml", "shop", one("app.yaml")),
            ("shop/a/b=c", "shop", one("a/b=c")),
            ("shop/>", "shop", below("")),
            ("shop/greeter.>", "shop", below("greeter.")),
            ("shop/a.b.>", "shop", below("a.b.")),
        ];
        for (text, bucket, keys) in rows {
            let config = NatsSourceConfig::from_text(text).unwrap();
            assert_eq!(
                (config.bucket.as_str(), config.keys().unwrap()),
                (bucket, keys),
                "{text}"
            );
        }
    }

    #[test]
    fn what_can_be_no_bucket_or_key_is_refused_by_name() {
        for text in [
            "a b/c",
            "a.b",
            "/key",
            "shop/",
            "shop/.a",
            "shop/a.",
            "shop/a..b",
            "shop/*",
            "shop/a>",
            "shop/a.*",
            "shop/.>",
            "shop/a b",
            "shop/ä",
        ] {
            let error = NatsSourceConfig::from_text(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misused, "{text}: {error}");
            assert!(error.to_string().contains('"'), "{error}");
        }
        let config = NatsSourceConfig {
            request_timeout: Duration::ZERO,
            ..NatsSourceConfig::default()
        };
        assert!(config.keys().is_err());
    }
}
