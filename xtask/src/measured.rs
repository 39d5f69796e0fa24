//! What the tables of the README have in common: plugins are run through their suites and through programs that measure
//! them, and what these print is put together.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::{cargo, steps};

/// What does not apply.
pub(crate) const NONE: &str = "–";

/// What a command was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
    /// All that are known, where none was named.
    pub(crate) names: Vec<&'a str>,
    pub(crate) is_all: bool,
    pub(crate) is_quick: bool,
    pub(crate) writes: bool,
}

/// Reads `[--quick] [--write] [NAME…]`.
///
/// # Errors
///
/// Fails if a name or a flag is unknown.
pub(crate) fn asked<'a>(what: &str, arguments: &'a [String], known: &[&'a str]) -> Result<Asked<'a>, String> {
    let (flags, names): (Vec<&str>, Vec<&str>) = arguments
        .iter()
        .map(String::as_str)
        .partition(|argument| argument.starts_with("--"));
    if let Some(unknown) = flags.iter().find(|flag| !["--quick", "--write"].contains(flag)) {
        return Err(format!("there is no option {unknown:?}"));
    }
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        return Err(format!(
            "there is no {what} {unknown:?} to measure; there are {}",
            known.join(", ")
        ));
    }
    Ok(Asked {
        is_all: names.is_empty(),
        names: if names.is_empty() { known.to_vec() } else { names },
        is_quick: flags.contains(&"--quick"),
        writes: flags.contains(&"--write"),
    })
}

/// Prints a table, and puts it into the README between the marks of that name if it is to be written.
///
/// # Errors
///
/// Fails if the README has no such marks or cannot be written.
pub(crate) fn show<const COLUMNS: usize>(
    mark: &str,
    heads: &[&str; COLUMNS],
    rows: &[[String; COLUMNS]],
    writes: bool,
) -> Result<(), String> {
    let line = |fields: Vec<&str>| format!("| {} |\n", fields.join(" | "));
    let mut table = line(heads.to_vec()) + &line(vec!["---"; COLUMNS]);
    table.extend(
        rows.iter()
            .map(|row| line(row.iter().map(String::as_str).collect())),
    );
    println!("{table}");
    if !writes {
        return Ok(());
    }
    let path = cargo::root().join("README.md");
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let text = fs::read_to_string(&path).map_err(failed)?;
    let text = replaced(&text, mark, &table).ok_or("README.md has no place for the table")?;
    fs::write(&path, text).map_err(failed)
}

fn replaced(text: &str, mark: &str, table: &str) -> Option<String> {
    let (start, end) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->\n"));
    let (before, rest) = text.split_once(&start)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{start}{table}{end}{after}"))
}

/// Runs the suites of the package in a folder, or only the cases of some modules, and counts those that passed and that ran. Where all packages of a table will be asked
/// for, everything is built as `cargo test --workspace` does, so that nothing is built twice.
///
/// # Errors
///
/// Fails if they cannot be built or run, or there is none.
pub(crate) fn conformance(folder: &str, modules: &[&str], is_all: bool) -> Result<String, String> {
    let package = package(folder);
    let folder = cargo::root().join(folder);
    let manifest = folder.join("Cargo.toml");
    let mut counts = (0, 0);
    for program in built(&package, &folder, is_all)?
        .iter()
        .filter(|suite| suite.manifest == manifest)
    {
        let said = captured_either_way(
            Command::new(&program.executable)
                .args(modules)
                .current_dir(&folder),
        )?;
        let (passed, all) = counted(&said);
        counts = (counts.0 + passed, counts.1 + all);
    }
    match counts {
        (_, 0) => Err(format!("{package} has no case")),
        (passed, all) => Ok(format!("{passed}/{all}")),
    }
}

fn package(folder: &str) -> String {
    match folder.strip_prefix("plugins/") {
        Some(plugin) => format!("micro-{plugin}"),
        None => folder.to_owned(),
    }
}

/// A program with a suite, and the manifest of its package.
struct Suite {
    manifest: PathBuf,
    executable: PathBuf,
}

/// Builds the suites of a package, or of all.
fn built(package: &str, folder: &Path, is_all: bool) -> Result<Vec<Suite>, String> {
    let mut words = vec!["test", "--no-run", "--message-format=json"];
    if is_all {
        words.push("--workspace");
    } else {
        words.extend(["--package", package]);
    }
    for suite in ["conformance", "outages"] {
        // Not every package has both.
        if is_all || folder.join("tests").join(suite).with_extension("rs").is_file() {
            words.extend(["--test", suite]);
        }
    }
    let said = captured(&mut cargo::command(words))?;
    let messages = said
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(messages.filter_map(|message| suite(&message)).collect())
}

fn suite(message: &Value) -> Option<Suite> {
    Some(Suite {
        manifest: message["manifest_path"].as_str()?.into(),
        executable: message["executable"].as_str()?.into(),
    })
}

/// Cases that passed, and cases that ran.
fn counted(said: &str) -> (usize, usize) {
    let results = said.lines().filter(|line| line.starts_with("test result:"));
    results.fold((0, 0), |(passed, all), line| {
        let count = |what: &str| {
            let (before, _) = line.split_once(what)?;
            before.rsplit(' ').next()?.parse::<usize>().ok()
        };
        let (good, bad) = (count(" passed").unwrap_or(0), count(" failed").unwrap_or(0));
        (passed + good, all + good + bad)
    })
}

/// The fields of the row of a table that begins with a name, without that.
pub(crate) fn row<const COLUMNS: usize>(said: &str, name: &str) -> Option<[String; COLUMNS]> {
    rows(said).find_map(|fields| {
        let (first, others) = fields.split_first()?;
        (first == name).then(|| others.to_vec().try_into().ok())?
    })
}

/// The fields of all rows of tables.
pub(crate) fn rows(said: &str) -> impl Iterator<Item = Vec<String>> {
    let rows = said
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.map(|row| row.split(" | ").map(|field| field.trim().to_owned()).collect())
}

/// A cost beside that of the bare way, with the ratio where there is one.
pub(crate) fn beside(cost: &str, bare: &str, ratio: &str) -> String {
    match ratio {
        NONE => format!("{cost}, {bare}"),
        ratio => format!("{cost}, {bare} ({ratio} ×)"),
    }
}

/// The benchmark suite in release mode, with these words.
pub(crate) fn benches(words: &[&str]) -> Command {
    let suite = ["run", "--quiet", "--release", "--package", "benches", "--"];
    cargo::command(suite.into_iter().chain(words.iter().copied()))
}

/// The rest of the line after some words.
pub(crate) fn after(said: &str, words: &str) -> Option<String> {
    let (_, rest) = said.split_once(words)?;
    rest.lines().next().map(str::to_owned)
}

/// What a command printed that has to succeed.
///
/// # Errors
///
/// Fails if it does not.
pub(crate) fn captured(command: &mut Command) -> Result<String, String> {
    steps::captured(command).map(|said| String::from_utf8_lossy(&said).into_owned())
}

/// What a command printed, also where it found something bad: that is what is measured.
///
/// # Errors
///
/// Fails if it cannot be run or printed nothing.
pub(crate) fn captured_either_way(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?} cannot be run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if said.is_empty() {
        return Err(format!(
            "{command:?} said nothing: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_counted_over_several_suites() {
        let said = "test result: ok. 50 passed; 0 failed; 0 ignored\nx\ntest result: FAILED. 9 passed; 2 failed; 0 ignored\n";
        assert_eq!(counted(said), (59, 61));
        assert_eq!(counted("error"), (0, 0));
    }

    #[test]
    fn a_row_is_found_by_its_whole_name() {
        let said = "| nats-plain |   1 | 2 |\nnats\n| nats       | 3.5 | – |\n";
        assert_eq!(row(said, "nats"), Some(["3.5".to_owned(), "–".to_owned()]));
        assert_eq!(row::<3>(said, "nats"), None);
        assert_eq!(row::<2>(said, "nsq"), None);
    }

    #[test]
    fn a_table_takes_the_place_of_the_last_one() {
        let text = "a\n<!-- x -->\nold\n<!-- end of x -->\nb\n";
        let expected = "a\n<!-- x -->\nnew\n<!-- end of x -->\nb\n";
        assert_eq!(replaced(text, "x", "new\n").as_deref(), Some(expected));
        assert_eq!(replaced(text, "y", "new\n"), None);
    }

    #[test]
    fn what_is_unknown_is_refused_by_name() {
        let texts =
            |arguments: &[&str]| -> Vec<String> { arguments.iter().map(|&text| text.into()).collect() };
        let known = ["a", "b"];
        let all = texts(&["--quick"]);
        let expected = Asked {
            names: known.to_vec(),
            is_all: true,
            is_quick: true,
            writes: false,
        };
        assert_eq!(asked("thing", &all, &known), Ok(expected));
        for wrong in ["c", "--fast"] {
            let error = asked("thing", &texts(&[wrong]), &known).unwrap_err();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
