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
