//! `cargo xtask backends down`: stops what `up` started, and nothing else.

use super::home::Home;
use super::record::Record;
use super::site::Site;
use super::{compose, table};
use crate::steps;

/// Stops the named servers and those that need them, as far as `up` started them.
///
/// # Errors
///
/// Fails if one cannot be stopped; the others are stopped.
pub(super) fn run(home: &Home, names: &[String]) -> Result<(), String> {
    let backends = table::with_what_needs_them(&table::chosen(names)?);
    let _lock = home.lock()?;
    let mut failures = Vec::new();
    let mut stopped = 0;
    for backend in backends.into_iter().rev() {
        match one(home, backend.name) {
            Ok(true) => {
                stopped += 1;
                steps::good("stopped", backend.name);
            }
            Ok(false) => {}
            Err(reason) => failures.push(format!("{} cannot be stopped: {reason}", backend.name)),
        }
    }
    if stopped == 0 && failures.is_empty() {
        steps::note(
            "nothing",
            "to stop: none of these was started by `cargo xtask backends up`",
        );
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("\n"))
    }
}

/// Stops what was started for one server, the last first, and whether anything was left to stop.
///
/// # Errors
///
/// Fails if something cannot be stopped; its record is kept.
pub(super) fn one(home: &Home, name: &'static str) -> Result<bool, String> {
    let record = Record::read(home, name)?;
    let mut stopped = false;
    for process in record.processes.iter().rev() {
        stopped |= process.is_alive();
        process.stop()?;
    }
    if !record.services.is_empty() {
        let doing = format!("docker compose rm {}", record.services.join(" "));
        Site { home, name }.run(&doing, &mut compose::down(&record.services))?;
        stopped = true;
    }
    Record::default().write(home, name)?;
    Ok(stopped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::process::{self, Process};
    use std::fs;
    use std::path::PathBuf;
    use std::process::{Child, Command};

    fn home(name: &str) -> (PathBuf, Home) {
        let unique = format!("xtask-{}-{name}", std::process::id());
        let root = std::env::temp_dir().join(unique);
        let home = Home::at(&root).unwrap();
        (root, home)
    }

    fn start(home: &Home) -> (Child, Process) {
        let mut command = Command::new("sh");
        command.args(["-c", "echo up; exec sleep 600"]);
        let child = process::spawn(&mut command, &home.log("fake")).unwrap();
        let process = Process::with_pid(child.id()).unwrap();
        (child, process)
    }

    #[test]
    fn what_was_started_is_stopped_once_and_its_record_goes() {
        let (root, home) = home("stops");
        let (mut child, process) = start(&home);
        let record = Record {
            processes: vec![process],
            ..Record::default()
        };
        record.write(&home, "fake").unwrap();
        assert!(Record::read(&home, "fake").unwrap().runs());
        assert_eq!(one(&home, "fake"), Ok(true));
        assert!(!process.is_alive());
        child.wait().unwrap();
        assert!(!home.record("fake").exists());
        assert_eq!(one(&home, "fake"), Ok(false));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_process_that_has_the_number_of_an_old_one_is_left_alone() {
        let (root, home) = home("spares");
        let (mut child, process) = start(&home);
        let old = Process {
            started: process.started - 1,
            ..process
        };
        let record = Record {
            processes: vec![old],
            ..Record::default()
        };
        record.write(&home, "fake").unwrap();
        assert_eq!(one(&home, "fake"), Ok(false));
        assert!(process.is_alive());
        process.stop().unwrap();
        child.wait().unwrap();
        fs::remove_dir_all(root).unwrap();
    }
}
