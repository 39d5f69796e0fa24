#![doc = include_str!("../README.md")]

mod backends;
mod bench;
mod brokers;
mod cargo;
mod clients;
mod interop;
mod measured;
mod registries;
mod steps;
mod test;
mod tidy;
mod transports;
mod verify;

use std::process::ExitCode;

const HELP: &str = "\
The tasks of this workspace

Usage: cargo xtask <task> [arguments]

Tasks:
  verify      Check format, house rules, package contents, lints and documentation; changes nothing
  tidy        Check the house rules alone
  test        Have the servers running that tests need and run `cargo test --workspace`; further arguments are passed on
  bench       Build the benchmarks in release mode and run them; further arguments are passed on
  interop     Run gRPC's interoperability tests, with its authors' client and server in Go
  backends    Start, stop and show the real servers that plugins are tested against
  registries  Measure every registry against its promises, and print the table of the README
  brokers     The same for every broker
  transports  The same for every transport
  help        Print this text, or with a task's name that task's own

`cargo xtask <task> --help` explains one task. Set NO_COLOR to switch colours off.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            steps::failed(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let Some((task, rest)) = arguments.split_first() else {
        print!("{HELP}");
        return Ok(());
    };
    if let Some(help) = requested_help(task, rest) {
        print!("{help}");
        return Ok(());
    }
    match task.as_str() {
        "verify" => no_arguments(task, rest).and_then(|()| verify::run()),
        "tidy" => no_arguments(task, rest).and_then(|()| tidy::run()),
        "test" => test::run(rest),
        "bench" => bench::run(rest),
        "interop" => interop::run(rest),
        "backends" => backends::run(rest),
        "registries" => registries::run(rest),
        "brokers" => brokers::run(rest),
        "transports" => transports::run(rest),
        _ => Err(format!(
            "there is no task {task:?}; `cargo xtask help` lists them"
        )),
    }
}

/// The text to print when the arguments ask for help and not for work.
fn requested_help(task: &str, rest: &[String]) -> Option<&'static str> {
    let topic = match task {
        "help" | "-h" | "--help" => rest.first().map_or("", String::as_str),
        // What follows `bench` belongs to the benchmark suite, which has a better help text of its own.
        "bench" => return None,
        _ if rest
            .first()
            .is_some_and(|first| first == "-h" || first == "--help") =>
        {
            task
        }
        _ => return None,
    };
    Some(match topic {
        "verify" => verify::HELP,
        "tidy" => tidy::HELP,
        "test" => test::HELP,
        "bench" => bench::HELP,
        "interop" => interop::HELP,
        "backends" => backends::HELP,
        "registries" => registries::HELP,
        "brokers" => brokers::HELP,
        "transports" => transports::HELP,
        _ => HELP,
    })
}

fn no_arguments(task: &str, rest: &[String]) -> Result<(), String> {
    match rest.first() {
        None => Ok(()),
        Some(first) => Err(format!(
            "`cargo xtask {task}` takes no arguments, but got {first:?}; see `cargo xtask {task} --help`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(arguments: &[&str]) -> Vec<String> {
        arguments.iter().map(|argument| (*argument).to_owned()).collect()
    }

    #[test]
    fn help_is_given_for_a_task_in_both_orders() {
        assert_eq!(requested_help("help", &texts(&["verify"])), Some(verify::HELP));
        assert_eq!(requested_help("verify", &texts(&["--help"])), Some(verify::HELP));
        assert_eq!(requested_help("--help", &[]), Some(HELP));
        assert_eq!(requested_help("verify", &[]), None);
    }

    #[test]
    fn the_benchmarks_explain_their_own_options() {
        assert_eq!(requested_help("bench", &texts(&["--help"])), None);
        assert_eq!(requested_help("help", &texts(&["bench"])), Some(bench::HELP));
    }

    #[test]
    fn an_unknown_task_and_a_stray_argument_are_refused_by_name() {
        assert!(run(&texts(&["verfy"])).unwrap_err().contains("\"verfy\""));
        assert!(run(&texts(&["tidy", "--fix"])).unwrap_err().contains("\"--fix\""));
    }
}
