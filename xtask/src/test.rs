//! `cargo xtask test`: the tests, exactly as the README runs them.

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::process::{Command, Stdio};

use crate::{backends, cargo, steps};

pub(crate) const HELP: &str = "\
Run all tests of the workspace

Usage: cargo xtask test [arguments]

Has the servers that the tests talk to running, as `cargo xtask backends up` would (etcd, Consul, ZooKeeper, Kubernetes'
API server, NATS, RabbitMQ, Redis, Kafka, NSQ and toxiproxy), and then runs `cargo test --workspace` once. The servers go on
running; `cargo xtask backends down` stops them.

A server that cannot be had is a warning, and an error where CI or MICRO_REQUIRE_BACKENDS is set.

The tests of all crates run, also after a failure. Where a few of their programs fail, each of those runs once more, by
itself: with ten servers beside them a machine may be too slow for one test at one moment. What passes then is named
as unsteady, with a warning; what fails again has failed.

Arguments are passed on as they are.

Examples:
  cargo xtask test --release
  cargo xtask test -- --nocapture a_part_of_a_name
";

/// Prepares what the tests need and runs them.
///
/// # Errors
///
/// Fails if the preparation or any test fails.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    prepare()?;
    let mut steps = steps::Steps::new();
    steps.step("cargo test --workspace", || {
        let mut first = cargo::command(["test", "--workspace", "--no-fail-fast"]);
        let Err(failure) = reported(first.args(arguments)) else {
            return Ok(());
        };
        if failure.targets.is_empty() || failure.targets.len() > FEW {
            return Err(failure.message);
        }
        for target in &failure.targets {
            steps::warned(&format!("{target} failed, and runs once more by itself"));
            let mut again = cargo::command(["test"].into_iter().chain(target.split(' ')));
            steps::shown(again.args(arguments))?;
        }
        let unsteady = failure.targets.join(", ");
        steps::warned(&format!("unsteady, failed once and passed by itself: {unsteady}"));
        Ok(())
    });
    steps.finish()
}

/// So many programs of tests may be unsteady at once. More than that is no accident.
const FEW: usize = 8;

/// How a run of all tests failed.
struct Failure {
    message: String,
    /// The arguments for cargo that select each program of tests that failed.
    targets: Vec<String>,
}

/// Runs the tests with their output shown, and reads from cargo's own which of them failed.
fn reported(command: &mut Command) -> Result<(), Failure> {
    let failure = |message| Failure {
        message,
        targets: Vec::new(),
    };
    if std::io::stderr().is_terminal() && std::env::var_os("CARGO_TERM_COLOR").is_none() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    command.stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|error| failure(format!("cargo cannot be started: {error}")))?;
    let mut targets = Vec::new();
    if let Some(output) = child.stderr.take() {
        let mut lines = BufReader::new(output);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            // Nobody reads it any more: the tests go on all the same.
            let _ = std::io::stderr().write_all(&line);
            targets.extend(failed_target(&String::from_utf8_lossy(&line)));
            line.clear();
        }
    }
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure {
            message: format!("`cargo test --workspace` ended with {status}"),
            targets,
        }),
        Err(error) => Err(failure(format!("cargo is lost: {error}"))),
    }
}

/// The target that a line of cargo's says to run again.
fn failed_target(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("to rerun pass `")?;
    let (target, _) = rest.split_once('`')?;
    Some(target.to_owned())
}

/// The servers that tests of the workspace talk to.
const BACKENDS: &[&str] = &[
    "etcd",
    "consul",
    "zookeeper",
    "kubernetes",
    "toxiproxy",
    "nats",
    "rabbitmq",
    "redis",
    "kafka",
    "nsq",
];

/// Prepares the machine for the tests: whatever must exist before `cargo test` goes here.
///
/// What is added has to work on a fresh machine, be quick when it was done before, and be optional for somebody who runs
/// a plain `cargo test --workspace`.
fn prepare() -> Result<(), String> {
    backends::prepare(BACKENDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_says_to_run_again_is_read() {
        let rows = [
            (
                "error: test failed, to rerun pass `-p micro-consul --test server`\n",
                Some("-p micro-consul --test server"),
            ),
            (
                "\u{1b}[1m\u{1b}[91merror\u{1b}[0m: doctest failed, to rerun pass `-p micro-core --doc`\n",
                Some("-p micro-core --doc"),
            ),
            ("error: could not compile `micro-core` (lib)\n", None),
            ("error: 2 targets failed:\n", None),
        ];
        for (line, expected) in rows {
            assert_eq!(failed_target(line).as_deref(), expected, "{line}");
        }
    }
}
