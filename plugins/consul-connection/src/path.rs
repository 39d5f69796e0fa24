//! Paths of Consul's API.

use std::fmt::Write;

/// A path of segments and a query of pairs.
#[derive(Debug, Clone)]
pub struct Path {
    text: String,
    has_query: bool,
}

impl Path {
    /// A path that is whole already, such as `/v1/catalog/services`.
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            has_query: false,
        }
    }

    /// Adds a name of any kind at the end.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        // A segment of dots alone would mean another folder.
        let is_dots = matches!(name, "." | "..");
        for byte in name.bytes() {
            match byte {
                b'.' if is_dots => self.text.push_str("%2E"),
                _ => escape(&mut self.text, byte),
            }
        }
        self
    }

    /// Adds a name whose slashes are those of folders: `micro/config`.
    #[must_use]
    pub fn names(mut self, names: &str) -> Self {
        for (index, name) in names.split('/').enumerate() {
            if index > 0 {
                self.text.push('/');
            }
            self = self.name(name);
        }
        self
    }

    /// Adds a pair to the query.
    #[must_use]
    pub fn query(mut self, key: &str, value: &str) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.text.push_str(key);
        self.text.push('=');
        for byte in value.bytes() {
            escape(&mut self.text, byte);
        }
        self
    }

    /// The path with its query, as it is asked for.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn escape(text: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        text.push(char::from(byte));
    } else {
        // Writing to a text cannot fail.
        let _ = write!(text, "%{byte:02X}");
    }
}

/// Whether Consul can be asked for a name: it takes no path with characters that cannot be printed.
pub fn is_askable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_printable)
}

fn is_printable(character: char) -> bool {
    match character {
        ' '..='~' => true,
        _ if character.is_whitespace() => false,
        // Behind another character, only what cannot be printed is escaped; accents are not.
        _ => !format!("x{character}").escape_debug().any(|part| part == '\\'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_kind_are_one_segment() {
        let rows = [
            ("greeter", "/v1/x/greeter"),
            ("a/b?c#d%e", "/v1/x/a%2Fb%3Fc%23d%25e"),
            ("ü ", "/v1/x/%C3%BC%20"),
            ("..", "/v1/x/%2E%2E"),
            ("a..b", "/v1/x/a..b"),
        ];
        for (name, expected) in rows {
            assert_eq!(Path::new("/v1/x/").name(name).as_str(), expected);
        }
        assert_eq!(
            Path::new("/v1/kv/").names("a/../ü?").as_str(),
            "/v1/kv/a/%2E%2E/%C3%BC%3F"
        );
        let path = Path::new("/v1/x").query("index", "7").query("wait", "20s&");
        assert_eq!(path.as_str(), "/v1/x?index=7&wait=20s%26");
    }

    #[test]
    fn consul_is_not_asked_for_what_cannot_be_printed() {
        for name in ["greeter", "grüße 東京", "🚀 and e\u{301}", "quote\"'`\\", "."] {
            assert!(is_askable(name), "{name:?}");
        }
        for name in ["", "a\nb", "\0", "\u{1}", "\u{a0}", "\u{200b}", "\u{e000}"] {
            assert!(!is_askable(name), "{name:?}");
        }
    }
}
