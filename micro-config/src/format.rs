//! How text is written.

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
