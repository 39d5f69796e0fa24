//! The section `micro` of a configuration: the framework's options, which flags and variables win over.

#[cfg(feature = "config")]
pub(super) use self::of_view::{NAME, Section};

/// Without the feature `config` there is none.
#[cfg(not(feature = "config"))]
#[derive(Debug, Default)]
pub(super) struct Section(());

#[cfg(feature = "config")]
mod of_view {
    use std::collections::HashMap;
    use std::collections::hash_map::Entry;

    use micro_config::{Origin, View};
    use serde_json::Value;

    use super::super::CONFIG;
    use super::super::argument::{Argument, Kind};
    use super::super::table::FLAGS;

    /// Under this name are the framework's options; all others are the program's own.
    pub(in super::super) const NAME: &str = "micro";

    /// What a configuration says for flags of the framework.
    #[derive(Debug, Default)]
    pub(in super::super) struct Section(HashMap<&'static str, Said>);

    /// What it says for one.
    #[derive(Debug)]
    pub(in super::super) struct Said {
        pub(in super::super) texts: Vec<String>,
        /// The path and who says it, for messages.
        pub(in super::super) place: String,
    }

    impl Section {
        /// Reads the section of a view.
        ///
        /// # Errors
        ///
        /// When something in it is no option, or not of an option's type. The message says where.
        pub(in super::super) fn of(view: &View) -> Result<Self, String> {
            let mut section = Self::default();
            match view.value(NAME) {
                None | Some(Value::Null) => {}
                Some(Value::Object(entries)) => section.entries(view, NAME, "", &entries)?,
                Some(_) => return Err(format!("{}: a table of options is wanted", place(view, NAME))),
            }
            Ok(section)
        }

        pub(in super::super) fn get(&self, flag: &str) -> Option<&Said> {
            self.0.get(flag)
        }

        fn entries(
            &mut self,
            view: &View,
            path: &str,
            name: &str,
            entries: &serde_json::Map<String, Value>,
        ) -> Result<(), String> {
            for (key, value) in entries {
                let path = format!("{path}.{key}");
                let key = key.replace('-', "_");
                let name = if name.is_empty() {
                    key
                } else {
                    format!("{name}_{key}")
                };
                self.entry(view, &path, &name, value)?;
            }
            Ok(())
        }

        fn entry(&mut self, view: &View, path: &str, name: &str, value: &Value) -> Result<(), String> {
            let flag = flag(name);
            let texts = match (flag, value) {
                (_, Value::Null) => return Ok(()),
                (Some(flag), Value::Object(pairs)) if flag.kind == Kind::List => pairs
                    .iter()
                    .map(|(key, value)| Some(format!("{key}={}", text(value)?)))
                    .collect(),
                (_, Value::Object(entries)) => return self.entries(view, path, name, entries),
                (None, _) => return Err(format!("{}: {}", place(view, path), unknown(name))),
                (Some(flag), Value::Array(values)) if flag.kind == Kind::List => {
                    values.iter().map(text).collect()
                }
                (Some(flag), Value::Bool(_)) if flag.kind != Kind::Switch => None,
                (_, value) => text(value).map(|text| vec![text]),
            };
            let Some(flag) = flag else { return Ok(()) };
            let texts: Option<Vec<String>> = texts;
            let texts = texts.ok_or_else(|| format!("{}: {} is wanted", place(view, path), wanted(flag)))?;
            match self.0.entry(flag.name) {
                Entry::Vacant(entry) => {
                    let place = place(view, path);
                    entry.insert(Said { texts, place });
                    Ok(())
                }
                Entry::Occupied(other) => Err(format!(
                    "{} and {} say the same: keep one of them",
                    other.get().place,
                    place(view, path)
                )),
            }
        }
    }

    fn flag(name: &str) -> Option<&'static Argument> {
        FLAGS.iter().find(|flag| flag.name == name && flag.name != CONFIG)
    }

    /// A value that a flag could have.
    fn text(value: &Value) -> Option<String> {
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn wanted(flag: &Argument) -> &'static str {
        match flag.kind {
            Kind::List => "a list of texts, or one text",
            Kind::Switch => "true or false",
            _ => "a text or a number",
        }
    }

    fn unknown(name: &str) -> String {
        if name == CONFIG {
            return "sources are named by --config or MICRO_CONFIG, and not by each other".to_owned();
        }
        let likeness = |flag: &&Argument| strsim::jaro_winkler(flag.name, name);
        let nearest = FLAGS
            .iter()
            .filter(|flag| flag.name != CONFIG && likeness(flag) > 0.7)
            .max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
        match nearest {
            Some(flag) => format!("the framework has no option {name}; is {} meant?", flag.name),
            None => format!(
                "the framework has no option {name}; --help lists them, and what is the program's own stands outside of \
                 the section {NAME}"
            ),
        }
    }

    /// A path, and who says what is there.
    fn place(view: &View, path: &str) -> String {
        match view.origin_of(path) {
            Some(Origin { document, line, .. }) => match line {
                Some(line) => format!("{path} in {document} line {line}"),
                None => format!("{path} in {document}"),
            },
            None => path.to_owned(),
        }
    }
}
