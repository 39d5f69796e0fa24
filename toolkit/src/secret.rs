//! What is not to be shown to everybody who looks over a shoulder.

use serde_json::Value;

/// Stands for what is not shown.
pub(crate) const HIDDEN: &str = "***";
/// A name with one of these words in it names a secret.
const WORDS: [&str; 12] = [
    "password",
    "passwords",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "secrets",
    "token",
    "key",
    "authorization",
    "credential",
    "credentials",
];
/// A name that ends with one of these words names secrets where texts are in it: `api_keys`, but `max_tokens` is a number.
const LAST_WORDS: [&str; 2] = ["tokens", "keys"];

/// Hides what is secret by its name, and the passwords in URLs. `path` says where the value is from.
pub(crate) fn hidden(path: &str, value: Value) -> Value {
    if path.split('.').any(is_secret) {
        return Value::from(HIDDEN);
    }
    if path.split('.').any(has_secrets) {
        return without_texts(value);
    }
    masked(value)
}

fn masked(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            let entries = entries.into_iter().map(|(name, value)| {
                let value = match is_secret(&name) {
                    true => Value::from(HIDDEN),
                    false if has_secrets(&name) => without_texts(value),
                    false => masked(value),
                };
                (name, value)
            });
            Value::Object(entries.collect())
        }
        Value::Array(values) => values.into_iter().map(masked).collect(),
        Value::String(text) => Value::String(without_password(text)),
        plain => plain,
    }
}

/// Whether a name says that its value is secret: `db_password`, `apiKey`, `TOKEN`; not `keyboard` or `monkey`.
fn is_secret(name: &str) -> bool {
    words(name).any(|word| WORDS.contains(&word.as_str()))
}

/// Whether a name says that the texts in its value are secret.
fn has_secrets(name: &str) -> bool {
    words(name)
        .last()
        .is_some_and(|word| LAST_WORDS.contains(&word.as_str()))
}

/// Numbers and truth values stay.
fn without_texts(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            let entries = entries.into_iter();
            Value::Object(
                entries
                    .map(|(name, value)| (name, without_texts(value)))
                    .collect(),
            )
        }
        Value::Array(values) => values.into_iter().map(without_texts).collect(),
        Value::String(_) => Value::from(HIDDEN),
        plain => plain,
    }
}

/// The words of a name, in lower case.
fn words(name: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (letter.is_uppercase() && was_small) {
            words.push(String::new());
        }
        was_small = letter.is_lowercase() || letter.is_numeric();
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
    }
    words.into_iter().filter(|word| !word.is_empty())
}

/// `postgres://ann:hunter2@db/shop` becomes `postgres://ann:***@db/shop`.
fn without_password(text: String) -> String {
    let Some((before, rest)) = text.split_once("://") else {
        return text;
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (place, after) = rest.split_at(end);
    match place.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{before}://{user}:{HIDDEN}@{host}{after}"),
            None => text,
        },
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_secrets_are_known_by_their_words() {
        for name in [
            "password",
            "db_password",
            "DB-PASSWORD",
            "apiKey",
            "TOKEN",
            "tls_key",
            "clientSecret",
            "PWD",
            "Authorization",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["keyboard", "monkey", "tokens_per_second", "passage", "", "host"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn of_tokens_and_keys_the_texts_are_hidden() {
        let value =
            json!({ "tokens": ["a", 1], "max_tokens": 4096, "apiKeys": { "ann": "b" }, "tokens_left": "c" });
        let shown = json!({ "tokens": ["***", 1], "max_tokens": 4096, "apiKeys": { "ann": "***" }, "tokens_left": "c" });
        assert_eq!(hidden("", value), shown);
        assert_eq!(hidden("tokens.0", json!("a")), json!("***"));
        assert_eq!(hidden("api_keys", json!(["a"])), json!(["***"]));
    }

    #[test]
    fn secrets_are_hidden_wherever_they_are() {
        let value = json!({ "host": "db", "password": "hunter2", "keys": [1], "secret": { "a": 1 },
            "replicas": [{ "token": 7, "url": "postgres://ann:hunter2@db/shop?a=b" }] });
        let shown = json!({ "host": "db", "password": "***", "keys": [1], "secret": "***",
            "replicas": [{ "token": "***", "url": "postgres://ann:***@db/shop?a=b" }] });
        assert_eq!(hidden("database", value), shown);
        assert_eq!(hidden("database.password", json!("hunter2")), json!("***"));
        assert_eq!(hidden("secret.of.all", json!({ "a": 1 })), json!("***"));
        assert_eq!(hidden("", json!("https://a/b@c:d")), json!("https://a/b@c:d"));
    }
}
