//! Steps with a timed line each, in colour on a terminal.

use std::io::IsTerminal;
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs named steps one after another and remembers which of them failed.
pub(crate) struct Steps {
    began: Instant,
    done: usize,
    failed: Vec<String>,
}

impl Steps {
    /// Starts the clock.
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            done: 0,
            failed: Vec::new(),
        }
    }

    /// Runs one step. A failure is printed at once and counted; the next steps still run.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Result<(), String>) {
        announce(name);
        let began = Instant::now();
        let result = work();
        let took = seconds(began.elapsed());
        self.done += 1;
        match result {
            Ok(()) => line(GREEN, "ok", &format!("{name} ({took})")),
            Err(message) => {
                line(RED, "failed", &format!("{name} ({took})"));
                eprintln!("{message}");
                self.failed.push(name.to_owned());
            }
        }
    }

    /// Prints the summary.
    ///
    /// # Errors
    ///
    /// Names the steps that failed, if any.
    pub(crate) fn finish(self) -> Result<(), String> {
        let took = seconds(self.began.elapsed());
        if self.failed.is_empty() {
            let steps = if self.done == 1 { "step" } else { "steps" };
            line(GREEN, "passed", &format!("{} {steps} in {took}", self.done));
            return Ok(());
        }
        Err(format!(
            "{} of {} steps in {took}: {}",
            self.failed.len(),
            self.done,
            self.failed.join(", ")
        ))
    }
}

/// Says that something begins.
pub(crate) fn announce(name: &str) {
    line(CYAN, "run", name);
}

/// Says something on the way.
pub(crate) fn note(word: &str, text: &str) {
    line(CYAN, word, text);
}

/// Says that something went well.
pub(crate) fn good(word: &str, text: &str) {
    line(GREEN, word, text);
}

/// Says that something is not as it should be, although the task goes on.
pub(crate) fn warned(message: &str) {
    line(YELLOW, "warning", message);
}

/// Says that the task failed, and why.
pub(crate) fn failed(message: &str) {
    line(RED, "failed", message);
}

/// Runs a command to its end with its output shown.
///
/// # Errors
///
/// Fails if the command cannot start or ends without success.
pub(crate) fn shown(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| cannot_start(command, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} ended with {status}", described(command)))
    }
}

/// Runs a command to its end and gives back what it wrote to its standard output.
///
/// # Errors
///
/// Fails if the command cannot start or ends without success, and then gives what it wrote to its standard error.
pub(crate) fn captured(command: &mut Command) -> Result<Vec<u8>, String> {
    let output = command.output().map_err(|error| cannot_start(command, &error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "{} ended with {}:\n{}",
        described(command),
        output.status,
        errors.trim_end()
    ))
}

fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    format!("{} cannot be started: {error}", described(command))
}

fn described(command: &Command) -> String {
    let arguments: Vec<_> = command
        .get_args()
        .map(|argument| argument.to_string_lossy())
        .collect();
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    format!("`{} {}`", name.to_string_lossy(), arguments.join(" "))
}

const GREEN: &str = "\x1b[1;32m";
const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const CYAN: &str = "\x1b[1;36m";
const RESET: &str = "\x1b[0m";

fn line(colour: &str, word: &str, text: &str) {
    let coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (colour, reset) = if coloured { (colour, RESET) } else { ("", "") };
    eprintln!("{colour}{word:>12}{reset} {text}");
}

/// A duration as it is shown.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_steps_run_after_a_failure_and_the_summary_names_it() {
        let mut steps = Steps::new();
        let mut reached = false;
        steps.step("first", || Err("broken".to_owned()));
        steps.step("second", || {
            reached = true;
            Ok(())
        });
        let summary = steps.finish().unwrap_err();
        assert!(reached);
        assert!(
            summary.starts_with("1 of 2 steps") && summary.ends_with(": first"),
            "{summary}"
        );
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = shown(&mut Command::new("/nonexistent/program")).unwrap_err();
        assert!(
            error.contains("program") && error.contains("cannot be started"),
            "{error}"
        );
    }
}
