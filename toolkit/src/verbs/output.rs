//! The flag `--output`.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches};

/// How a verb prints what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// For people.
    Text,
    Json,
    /// As the far side wrote it.
    Raw,
    Table,
}

impl Output {
    /// The flag of a verb that prints for people, or JSON for programs.
    pub(super) fn text_or_json() -> Arg {
        flag(["text", "json"], "How to print: for people, or as JSON")
    }

    /// The flag of a verb that prints answers.
    pub(super) fn of_answers() -> Arg {
        flag(
            ["json", "raw", "table"],
            "How to print an answer: indented, as it came, or as a table",
        )
    }

    pub(super) fn of(words: &ArgMatches) -> Self {
        match words.get_one::<String>("output").map(String::as_str) {
            Some("json") => Self::Json,
            Some("raw") => Self::Raw,
            Some("table") => Self::Table,
            _ => Self::Text,
        }
    }
}

/// The first value is the default.
fn flag<const COUNT: usize>(values: [&'static str; COUNT], help: &'static str) -> Arg {
    Arg::new("output")
        .long("output")
        .short('o')
        .value_name("FORMAT")
        .default_value(values[0])
        .value_parser(PossibleValuesParser::new(values))
        .help(help)
}
