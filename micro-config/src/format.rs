//! How text is written.

mod json;
#[cfg(feature = "toml")]
mod toml;
#[cfg(feature = "yaml")]
mod yaml;

use std::fmt;

use crate::tree::{Place, Tree};

/// How a text is written. Each but JSON is a feature of this crate, on by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JSON: <https://www.rfc-editor.org/rfc/rfc8259>.
    Json,
    /// YAML 1.2.
    Yaml,
    /// TOML 1.0.
    Toml,
}

impl Format {
    /// The format of files with this extension, without its dot and in any case: `json`, `yaml`, `yml`, `toml`.
    pub fn of_extension(extension: &str) -> Option<Self> {
        let known = [
            ("json", Self::Json),
            ("yaml", Self::Yaml),
            ("yml", Self::Yaml),
            ("toml", Self::Toml),
        ];
        let found = known
            .into_iter()
            .find(|(name, _)| extension.eq_ignore_ascii_case(name));
        found.map(|(_, format)| format)
    }
}

/// Why a text cannot be parsed.
#[derive(Debug)]
pub(crate) struct Flaw {
    /// From 1 on. 0: unknown.
    pub(crate) line: u32,
    pub(crate) message: String,
}

/// Parses a text of any format.
pub(crate) fn parse(format: Format, text: &str, place: &Place) -> Result<Tree, Flaw> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match format {
        Format::Json => json::parse(text, place),
        #[cfg(feature = "yaml")]
        Format::Yaml => yaml::parse(text, place),
        #[cfg(feature = "toml")]
        Format::Toml => toml::parse(text, place),
        #[cfg(not(all(feature = "yaml", feature = "toml")))]
        other => Err(Flaw {
            line: 0,
            message: format!(
                "{other} is a feature of micro-config that is off: turn on `{}`",
                other.to_string().to_lowercase()
            ),
        }),
    }
}

/// What a parser says, in one line and without the place that some put at the end, which is told apart from it.
fn without_place(message: &str) -> String {
    let end = message.find(" at line ").unwrap_or(message.len());
    message[..end].lines().collect::<Vec<_>>().join(", ")
}

/// As people write it: `JSON`, `YAML`, `TOML`.
impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Json => "JSON",
            Self::Yaml => "YAML",
            Self::Toml => "TOML",
        })
    }
}

#[cfg(all(test, feature = "toml", feature = "yaml"))]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::tree::DocumentName;

    const ALL: [Format; 3] = [Format::Json, Format::Yaml, Format::Toml];

    fn place() -> Place {
        let name = DocumentName {
            source: "test".into(),
            origin: "test".into(),
        };
        Place::whole(name.into())
    }

    fn value(format: Format, text: &str) -> Value {
        parse(format, text, &place()).unwrap().to_value()
    }

    fn line_of(format: Format, text: &str, path: &str) -> u32 {
        parse(format, text, &place())
            .unwrap()
            .at(path)
            .unwrap()
            .place
            .line
    }

    #[test]
    fn each_value_knows_its_line() {
        let json = "{\n \"a\": {\"b\": 1\n,\n\"c\":\n[2,\n3]},\n\"d\": \"x\"}\n";
        let yaml = "# a comment\na:\n  b: 1\n  c:\n    - 2\n    - 3\nd: x\n";
        let toml = "d = \"x\"\n[a]\nb = 1\nc = [2,\n 3]\n";
        for (format, text, lines) in [
            (Format::Json, json, [2, 5, 6, 7]),
            (Format::Yaml, yaml, [3, 5, 6, 7]),
            (Format::Toml, toml, [3, 4, 5, 1]),
        ] {
            let found = ["a.b", "a.c.0", "a.c.1", "d"].map(|path| line_of(format, text, path));
            assert_eq!(found, lines, "{format}");
        }
    }

    #[test]
    fn a_flaw_is_told_with_its_line_and_without_values() {
        for (format, text, line) in [
            (Format::Json, "{\n\"password\": \"hunter2\"\n\"x\": 1}", 3),
            (Format::Json, "{\"a\": 1,\n\"a\": \"hunter2\"}", 2),
            (Format::Json, "", 1),
            (Format::Yaml, "password: hunter2\n  x: hunter2: y\n", 2),
            (Format::Yaml, "a: 1\na: hunter2\n", 2),
            (Format::Yaml, "a: [hunter2\n", 1),
            (Format::Toml, "password = \"hunter2\"\nx = hunter2\n", 2),
            (Format::Toml, "a = 1\na = \"hunter2\"\n", 2),
            (Format::Toml, "a = \"hunter2\n", 1),
        ] {
            let flaw = parse(format, text, &place()).err().unwrap();
            println!("{format} {text:?}: {flaw:?}");
            assert!(flaw.line >= line, "{format} {text:?}: {flaw:?}");
            assert!(!flaw.message.contains("hunter2"), "{flaw:?}");
            assert_eq!(flaw.message.lines().count(), 1, "{flaw:?}");
            assert!(!flaw.message.contains("line "), "{flaw:?}");
        }
    }

    #[test]
    fn values_are_alike_in_all_formats() {
        let wanted = json!({"a": {"b": true, "c": 1.5}, "d": [1, -2], "e": "ü"});
        for (format, text) in [
            (
                Format::Json,
                "\u{feff}{\"a\":{\"b\":true,\"c\":1.5},\"d\":[1,-2],\"e\":\"\\u00fc\"}",
            ),
            (Format::Yaml, "a: {b: true, c: 1.5}\nd: [1, -2]\ne: ü\n"),
            (Format::Toml, "d = [1, -2]\ne = \"ü\"\n[a]\nb = true\nc = 1.5\n"),
        ] {
            assert_eq!(value(format, text), wanted, "{format}");
        }
    }

    #[test]
    fn what_other_formats_have_no_value_for_is_a_text() {
        assert_eq!(
            value(Format::Toml, "a = 1979-05-27T07:32:00Z"),
            json!({"a": "1979-05-27T07:32:00Z"})
        );
        assert_eq!(value(Format::Toml, "a = inf"), json!({"a": "inf"}));
        assert_eq!(
            value(Format::Yaml, "yes: no\n1: on"),
            json!({"yes": "no", "1": "on"})
        );
    }

    #[test]
    fn what_is_nested_too_deep_is_refused() {
        for depth in [200, 20_000] {
            for (format, open) in [(Format::Json, "["), (Format::Yaml, "["), (Format::Toml, "a = [")] {
                let text = match format {
                    Format::Toml => format!("a = {}", "[".repeat(depth)),
                    _ => open.repeat(depth),
                };
                assert!(parse(format, &text, &place()).is_err(), "{format}");
            }
            let dotted = vec!["a"; depth].join(".");
            assert!(parse(Format::Toml, &format!("{dotted} = 1"), &place()).is_err());
        }
    }

    #[test]
    fn a_bomb_of_references_is_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = vec![format!("*a{}", level - 1); 9].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{before}]\n"));
        }
        assert!(parse(Format::Yaml, &bomb, &place()).is_err());
    }

    proptest! {
        #[test]
        fn what_was_written_as_json_is_read(text in "\\PC{0,40}", number in any::<i64>(), name in "[a-zA-Z✓ ]{1,8}") {
            let written = json!({"text": text, name: [number, {"deep": null}]});
            prop_assert_eq!(value(Format::Json, &written.to_string()), written.clone());
            let pretty = serde_json::to_string_pretty(&written).unwrap();
            prop_assert_eq!(value(Format::Json, &pretty), written);
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "[\\[\\]{}\"':,=#&*!|>\\-\n a1.\\\\✓]{0,60}") {
            for format in ALL {
                if let Err(flaw) = parse(format, &text, &place()) {
                    let lines = u32::try_from(text.split('\n').count()).unwrap();
                    prop_assert!(flaw.line <= lines + 1, "{:?}", flaw);
                }
            }
        }

        #[test]
        fn a_text_with_a_flaw_in_it_is_parsed_or_refused(at in 0..60_usize, wrong in any::<char>()) {
            for (format, text) in [
                (Format::Json, "{\"server\": {\"host\": \"a\", \"ports\": [1, 2.5, null]}}"),
                (Format::Yaml, "server:\n  host: a\n  ports: [1, 2.5, ~]\n  text: |\n    a\n"),
                (Format::Toml, "[server]\nhost = \"a\"\nports = [1, 2]\nat = 1979-05-27\n"),
            ] {
                let mut text: Vec<char> = text.chars().collect();
                let at = at % text.len();
                text[at] = wrong;
                let text: String = text.into_iter().collect();
                let _ = parse(format, &text, &place());
            }
        }
    }
}
