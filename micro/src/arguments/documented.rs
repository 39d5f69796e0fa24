//! Keeps the help and the README in step with the table, as they are with the default features.

use std::path::Path;

use super::Arguments;
use super::argument::{Argument, Kind};
use super::table::FLAGS;
use crate::Plugins;

/// Compares a file with what it should be. `MICRO_BLESS=1` writes it instead.
fn compare(path: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("MICRO_BLESS").is_some() {
        std::fs::write(&path, expected).expect("writable");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{} is not up to date; run the tests with MICRO_BLESS=1. It should be:\n{expected}",
        path.display()
    );
}

fn row(argument: &Argument) -> String {
    let arguments = Arguments::new("program").plugins(Plugins::builtin());
    let variable = argument.variable.unwrap_or_default();
    let default = match arguments.default_of(argument) {
        Some(default) => format!("`{default}`"),
        None => "–".to_owned(),
    };
    let list = if argument.kind == Kind::List {
        " (list)"
    } else {
        ""
    };
    format!(
        "| `{}` | `{variable}` | {default} | {}{list} |\n",
        argument.name, argument.help
    )
}

#[test]
fn the_readme_has_every_flag() {
    const START: &str = "<!-- flags -->\n";
    const END: &str = "<!-- end of flags -->\n";
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (before, rest) = readme.split_once(START).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let rows: String = FLAGS.iter().map(row).collect();
    let table = format!("| flag | variable | default | meaning |\n|---|---|---|---|\n{rows}");
    compare("README.md", &format!("{before}{START}{table}{END}{after}"));
}

#[test]
fn the_help_is_as_it_was_looked_at() {
    // The help lists what is linked, which differs with the features.
    let mut plugins = Plugins::builtin();
    plugins.keep_registries(&["mdns", "memory"]);
    plugins.keep_transports(&["http", "memory"]);
    plugins.keep_brokers(&["http", "memory"]);
    plugins.keep_profiles(&["local"]);
    plugins.keep_sources(&["env", "file"]);
    let mut arguments = Arguments::new("greeter")
        .plugins(plugins)
        .about("Greets by name")
        .argument(Argument::positional("name", "Whom to greet").default("World"))
        .argument(Argument::flag("greeting", "How to greet").variable("GREETING"));
    arguments.width = Some(100);
    let exit = arguments.parse_from(["--help"], [("", ""); 0]).unwrap_err();
    assert_eq!(exit.code(), 0);
    compare("tests/help.txt", &exit.to_string());
}

#[test]
fn the_help_fits_a_narrow_terminal() {
    let mut arguments = Arguments::new("greeter");
    arguments.width = Some(72);
    let exit = arguments.parse_from(["--help"], [("", ""); 0]).unwrap_err();
    for line in exit.to_string().lines().filter(|line| !line.contains("greeter")) {
        assert!(line.chars().count() <= 72, "{line}");
    }
}

#[test]
fn the_parser_is_well_formed() {
    let arguments = Arguments::new("greeter").argument(Argument::rest("names", "Whom to greet"));
    arguments.command().debug_assert();
}
