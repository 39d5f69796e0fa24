//! `cargo xtask brokers`: what each broker keeps of its promises, as a table.

use crate::measured::{self, Asked};
use crate::{cargo, steps};

pub(crate) const HELP: &str = "\
Measure every broker against its promises, and print the table of the README

Usage: cargo xtask brokers [--quick] [--write] [NAME…]

For each broker: the cases of its conformance suites; 100,000 events through a restart of its server and five cut
connections, and what came of them; events per second and the processor's time for each, beside the bare client library
in the same run. Servers that the suites need must run: `cargo xtask backends up`; those that are restarted are the
command's own.

Options:
  --quick  Fewer events and shorter rounds, to try the command itself
  --write  Put the table into README.md
";

/// Those that can be measured.
const BROKERS: [&str; 5] = ["nats", "rabbitmq", "kafka", "redis", "nsq"];

const HEADS: [&str; 8] = [
    "broker",
    "conformance",
    "lost",
    "handled twice",
    "failed to publish",
    "works again",
    "events/s, bare",
    "CPU µs/event, bare",
];

/// Measures and prints.
///
/// # Errors
///
/// Fails if an argument is unknown, a suite or a run fails, or its output is not understood.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let asked = measured::asked("broker", arguments, &BROKERS)?;
    let mut rows = Vec::new();
    for &name in &asked.names {
        rows.push(measure(name, &asked)?);
    }
    measured::show("brokers", &HEADS, &rows, asked.writes)
}

fn measure(name: &str, asked: &Asked<'_>) -> Result<[String; 8], String> {
    steps::announce(&format!("{name}: conformance"));
    let conformance = measured::conformance(&format!("plugins/{name}"), &[], asked.is_all)?;
    steps::announce(&format!("{name}: a restart and five cuts"));
    let [lost, repeated, failed, again] = outage(name, asked.is_quick)?;
    steps::announce(&format!("{name}: beside the bare client"));
    let [rates, costs] = figures(name, asked.is_quick)?;
    let name = format!("`{name}`");
    Ok([name, conformance, lost, repeated, failed, again, rates, costs])
}

/// What was lost, handled more than once and failed, and how soon all worked again after the server's return.
fn outage(name: &str, is_quick: bool) -> Result<[String; 4], String> {
    let words = [
        "run",
        "--quiet",
        "--release",
        "--package",
        "chaos",
        "--",
        "outage",
    ];
    let mut command = cargo::command(words);
    command.args(["--broker", name]);
    if is_quick {
        command.args(["--messages", "5000", "--rate", "1000"]);
    }
    let said = measured::captured_either_way(&mut command)?;
    let row: Option<[String; 8]> = measured::row(&said, name);
    let again = measured::after(&said, "of the server's return: ");
    let again = again.and_then(|rest| Some(rest.split_once(", then published ")?.1.to_owned()));
    match (row, again) {
        (Some([events, failed, _, lost, repeated, ..]), Some(again)) => {
            let again = again.replace(" and handled after ", ", ");
            Ok([format!("{lost} of {events}"), repeated, failed, again])
        }
        _ => Err(format!("the outage of {name} was not as it should be:\n{said}")),
    }
}

/// Events per second and the cost of each, with those of the bare client library.
fn figures(name: &str, is_quick: bool) -> Result<[String; 2], String> {
    let mut command = measured::benches(&["--brokers", name]);
    if is_quick {
        command.arg("--quick");
    }
    let said = measured::captured(&mut command)?;
    let Some([rate, bare_rate, cost, bare_cost, ratio]) = measured::row(&said, name) else {
        return Err(format!("the benchmark printed no row of {name}:\n{said}"));
    };
    let costs = measured::beside(&cost, &bare_cost, &ratio);
    Ok([format!("{rate}, {bare_rate}"), costs])
}
