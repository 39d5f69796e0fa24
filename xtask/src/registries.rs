//! `cargo xtask registries`: what each registry keeps of its promises, as a table.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::{cargo, steps};

pub(crate) const HELP: &str = "\
Measure every registry against its promises, and print the table of the README

Usage: cargo xtask registries [--quick] [--write] [NAME…]

For each registry: the cases of its conformance suites; how soon a running watcher is told of a node; how long after
SIGKILL a node is gone; a server that is gone for 60 s under load and comes back empty; the messages that a node costs the
server when nothing happens; and the memory of a process that watches 5,000 nodes. Takes about half an hour. Servers that
the suites need must run: `cargo xtask backends up`; those that are killed are the command's own.

Options:
  --quick  Shorter outages and fewer nodes, to try the command itself
  --write  Put the table into README.md
";

/// Those that can be measured, and whether a server stands behind them.
const REGISTRIES: &[(&str, bool)] = &[
    ("mdns", false),
    ("gossip", false),
    ("consul", true),
    ("etcd", true),
    ("zookeeper", true),
    ("kubernetes", true),
];

const HEADS: [&str; 8] = [
    "registry",
    "conformance",
    "seen, p50/p99",
    "SIGKILL → gone",
    "failed calls, server gone for 60 s",
    "registered again",
    "messages/node/min",
    "watcher of 5,000 nodes",
];
const START: &str = "<!-- registries -->\n";
const END: &str = "<!-- end of registries -->\n";
/// What does not apply.
const NONE: &str = "–";

/// Measures and prints.
///
/// # Errors
///
/// Fails if an argument is unknown, a suite or a run fails, or its output is not understood.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let is_set = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let names: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|name| !name.starts_with("--"))
        .collect();
    let known = |name: &&str| REGISTRIES.iter().any(|(registry, _)| registry == name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        return Err(format!("there is no registry {unknown:?} to measure"));
    }
    let chosen = REGISTRIES
        .iter()
        .filter(|(name, _)| names.is_empty() || names.contains(name));
    let mut rows = vec![HEADS.map(str::to_owned), HEADS.map(|_| "---".to_owned())];
    for &(name, has_server) in chosen {
        rows.push(measure(name, has_server, is_set("--quick"))?);
    }
    let table: String = rows
        .iter()
        .map(|row| format!("| {} |\n", row.join(" | ")))
        .collect();
    println!("{table}");
    if is_set("--write") { write(&table) } else { Ok(()) }
}

fn measure(name: &str, has_server: bool, is_quick: bool) -> Result<[String; 8], String> {
    steps::announce(&format!("{name}: conformance"));
    let conformance = conformance(name)?;
    steps::announce(&format!("{name}: seen, at rest, watched"));
    let figures = figures(name, is_quick)?;
    let [p50, p99, killed, messages, memory] = figures;
    let [failed, again, gone] = if has_server {
        steps::announce(&format!("{name}: the server is gone"));
        outage(name, is_quick)?
    } else {
        [NONE.to_owned(), NONE.to_owned(), format!("{killed} s (TTL 5 s)")]
    };
    Ok([
        format!("`{name}`"),
        conformance,
        format!("{p50} / {p99} ms"),
        gone,
        failed,
        again,
        messages,
        format!("{memory} MiB"),
    ])
}

/// Runs the suites and counts.
fn conformance(name: &str) -> Result<String, String> {
    let folder = cargo::root().join("plugins").join(name);
    let manifest = folder.join("Cargo.toml");
    let mut counts = (0, 0);
    for program in suites()?.iter().filter(|suite| suite.manifest == manifest) {
        let said = captured_either_way(Command::new(&program.executable).current_dir(&folder))?;
        let (passed, all) = counted(&said);
        counts = (counts.0 + passed, counts.1 + all);
    }
    match counts {
        (_, 0) => Err(format!("micro-{name} has no case")),
        (passed, all) => Ok(format!("{passed}/{all}")),
    }
}

/// A program with a conformance suite, and the manifest of its package.
struct Suite {
    manifest: PathBuf,
    executable: PathBuf,
}

/// Builds the suites of the whole workspace, as `cargo test --workspace` does, so that nothing is built twice.
fn suites() -> Result<Vec<Suite>, String> {
    let words = [
        "test",
        "--workspace",
        "--test",
        "conformance",
        "--test",
        "outages",
        "--no-run",
        "--message-format=json",
    ];
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

/// How soon a node is seen (p50 and p99), how soon a killed one is gone, messages at rest, memory of a watcher.
fn figures(name: &str, is_quick: bool) -> Result<[String; 5], String> {
    let mut command = cargo::command([
        "run",
        "--quiet",
        "--release",
        "--package",
        "benches",
        "--",
        "--registries",
        name,
    ]);
    if is_quick {
        command.arg("--quick");
    }
    let said = captured(&mut command)?;
    let row = said.lines().find(|line| line.starts_with(&format!("| {name} ")));
    let fields: Option<Vec<String>> =
        row.map(|row| row.split('|').map(|field| field.trim().to_owned()).collect());
    match fields.as_deref() {
        Some([_, _, figures @ .., _]) if figures.len() == 5 => {
            Ok(std::array::from_fn(|at| figures[at].clone()))
        }
        _ => Err(format!("the benchmark printed no row of {name}:\n{said}")),
    }
}

/// Failed calls, when all were registered again, and when a killed node was gone.
fn outage(name: &str, is_quick: bool) -> Result<[String; 3], String> {
    let seconds = if is_quick { "6" } else { "60" };
    let mut command = cargo::command([
        "run",
        "--quiet",
        "--release",
        "--package",
        "chaos",
        "--",
        "blackout",
    ]);
    command.args(["--registry", name, "--secs", seconds, "--ttl", "5"]);
    let said = captured_either_way(&mut command)?;
    let after = |words: &str| {
        let (_, rest) = said.split_once(words)?;
        rest.lines().next().map(str::to_owned)
    };
    let failed = after("no call fails: ").and_then(|rest| rest.strip_suffix(" failed").map(str::to_owned));
    let again = after("within two intervals: ")
        .and_then(|rest| Some(rest.split_once("the last after ")?.1.to_owned()));
    let gone = said.lines().find_map(|line| {
        let (before, _) = line.split_once(" after SIGKILL")?;
        let words: Vec<&str> = before.split_whitespace().rev().take(2).collect();
        Some(format!("{} {} (TTL 5 s)", words.get(1)?, words.first()?))
    });
    match (failed, again, gone) {
        (Some(failed), Some(again), Some(gone)) => Ok([failed, format!("after {again}"), gone]),
        _ => Err(format!("the outage of {name} was not as it should be:\n{said}")),
    }
}

fn captured(command: &mut Command) -> Result<String, String> {
    steps::captured(command).map(|said| String::from_utf8_lossy(&said).into_owned())
}

/// What a command printed, also where it found something bad: that is what is measured.
fn captured_either_way(command: &mut Command) -> Result<String, String> {
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

fn write(table: &str) -> Result<(), String> {
    let path = cargo::root().join("README.md");
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let text = fs::read_to_string(&path).map_err(failed)?;
    let parts = text
        .split_once(START)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else {
        return Err("README.md has no place for the table".to_owned());
    };
    fs::write(&path, format!("{before}{START}{table}{END}{after}")).map_err(failed)
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
}
