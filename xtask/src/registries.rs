//! `cargo xtask registries`: what each registry keeps of its promises, as a table.

use crate::measured::{self, Asked, NONE};
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

/// Measures and prints.
///
/// # Errors
///
/// Fails if an argument is unknown, a suite or a run fails, or its output is not understood.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let known: Vec<&str> = REGISTRIES.iter().map(|(name, _)| *name).collect();
    let asked = measured::asked("registry", arguments, &known)?;
    let chosen = REGISTRIES.iter().filter(|(name, _)| asked.names.contains(name));
    let mut rows = Vec::new();
    for &(name, has_server) in chosen {
        rows.push(measure(name, has_server, &asked)?);
    }
    measured::show("registries", &HEADS, &rows, asked.writes)
}

fn measure(name: &str, has_server: bool, asked: &Asked<'_>) -> Result<[String; 8], String> {
    steps::announce(&format!("{name}: conformance"));
    let conformance = measured::conformance(&format!("plugins/{name}"), &[], asked.is_all)?;
    steps::announce(&format!("{name}: seen, at rest, watched"));
    let [p50, p99, killed, messages, memory] = figures(name, asked.is_quick)?;
    let [failed, again, gone] = if has_server {
        steps::announce(&format!("{name}: the server is gone"));
        outage(name, asked.is_quick)?
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

/// How soon a node is seen (p50 and p99), how soon a killed one is gone, messages at rest, memory of a watcher.
fn figures(name: &str, is_quick: bool) -> Result<[String; 5], String> {
    let mut command = measured::benches(&["--registries", name]);
    if is_quick {
        command.arg("--quick");
    }
    let said = measured::captured(&mut command)?;
    measured::row(&said, name).ok_or_else(|| format!("the benchmark printed no row of {name}:\n{said}"))
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
    let said = measured::captured_either_way(&mut command)?;
    let failed = measured::after(&said, "no call fails: ");
    let failed = failed.and_then(|rest| rest.strip_suffix(" failed").map(str::to_owned));
    let again = measured::after(&said, "within two intervals: ")
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
