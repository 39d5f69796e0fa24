//! What of a configuration is shown.

use micro::config::{Config, View};
use serde_json::Value;

use crate::secret::{HIDDEN, hidden};

/// What is shown of a view.
pub(super) struct Shown<'a> {
    view: &'a View,
    /// Whether a source is a place for secrets. Names with a dot are in doubt then: no path leads to them.
    is_some_secret: bool,
}

impl<'a> Shown<'a> {
    pub(super) fn new(config: &Config, view: &'a View) -> Self {
        let sources = config.sources();
        let mut documents = sources.iter().flat_map(|source| &source.documents);
        Self {
            view,
            is_some_secret: documents.any(|document| is_for_secrets(document)),
        }
    }

    /// A value without what is secret: by its name, as part of a URL, or because of where it is from.
    pub(super) fn of(&self, path: &str, value: Value) -> Value {
        hidden(path, self.without_places(path, value))
    }

    fn without_places(&self, path: &str, value: Value) -> Value {
        let below = |name: &str, value: Value| match path {
            "" => self.without_places(name, value),
            path => self.without_places(&format!("{path}.{name}"), value),
        };
        match value {
            Value::Object(entries) => {
                let entries = entries.into_iter().map(|(name, value)| {
                    let value = below(&name, value);
                    (name, value)
                });
                Value::Object(entries.collect())
            }
            Value::Array(values) => {
                let values = values.into_iter().enumerate();
                values
                    .map(|(index, value)| below(&index.to_string(), value))
                    .collect()
            }
            _ if self.is_secret(path) => Value::from(HIDDEN),
            plain => plain,
        }
    }

    fn is_secret(&self, path: &str) -> bool {
        match self.view.origin_of(path) {
            Some(origin) => is_for_secrets(&origin.document),
            None => self.is_some_secret,
        }
    }
}

/// Kubernetes' Secrets, and the files that variables name.
fn is_for_secrets(document: &str) -> bool {
    let variable = document.strip_prefix("variable ");
    document.starts_with("Secret ") || variable.is_some_and(|name| name.ends_with("_FILE"))
}

#[cfg(test)]
mod tests {
    use micro::config::{Document, Result, Source, async_trait};
    use serde_json::json;

    use super::*;

    struct Cluster;

    impl std::fmt::Display for Cluster {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("kubernetes")
        }
    }

    #[async_trait]
    impl Source for Cluster {
        async fn read(&mut self) -> Result<Vec<Document>> {
            let open = json!({ "plain": "seen", "list": ["seen"], "open": { "a": 1 } });
            let closed = json!({ "dsn": "hush", "more": ["hush", 1], "a.b": { "c": "hush" }, "open": { "b": "hush" } });
            Ok(vec![
                Document::value("ConfigMap shop/greeter, key app.json", open),
                Document::value("Secret shop/greeter, key app.json", closed),
                Document::value("variable SHOP_DATABASE_DSN_FILE", json!("hush")).at(["database", "dsn"]),
                Document::value("variable SHOP_DATABASE_HOST", json!("seen")).at(["database", "host"]),
            ])
        }
    }

    #[tokio::test]
    async fn what_is_in_a_place_for_secrets_is_hidden_and_all_else_is_not() {
        let config = Config::builder().source(Cluster).build().await.unwrap();
        let view = config.view();
        let shown = |path: &str| Shown::new(&config, &view).of(path, view.value(path).unwrap());
        let expected = json!({ "plain": "seen", "list": ["seen"], "open": { "a": 1, "b": "***" }, "dsn": "***",
            "more": ["***", "***"], "a.b": { "c": "***" }, "database": { "dsn": "***", "host": "seen" } });
        assert_eq!(shown(""), expected);
        for path in ["plain", "list", "open", "dsn", "more", "database"] {
            assert_eq!(shown(path), expected[path], "{path}");
        }
        assert_eq!(shown("more.0"), json!("***"));
    }
}
