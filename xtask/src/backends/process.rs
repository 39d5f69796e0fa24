//! Processes that outlive the task that started them.

use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to stop before it is killed.
const PATIENCE: Duration = Duration::from_secs(20);
const KILLED: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A process, told from a later one with the same number by when the kernel started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// In the kernel's clock ticks since the machine started.
    pub(super) started: u64,
}

impl Process {
    /// The running process with this number.
    pub(super) fn with_pid(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let started = start_time(&text)?;
        Some(Self { pid, started })
    }

    pub(super) fn is_alive(self) -> bool {
        Self::with_pid(self.pid) == Some(self)
    }

    /// The memory that it and the processes of its group hold, in MiB.
    pub(super) fn memory(self) -> Option<u64> {
        if !self.is_alive() {
            return None;
        }
        let entries = fs::read_dir("/proc").ok()?;
        let resident = |folder: PathBuf| {
            let stat = fs::read_to_string(folder.join("stat")).ok()?;
            let status = fs::read_to_string(folder.join("status")).ok()?;
            (group(&stat)? == self.pid).then(|| resident_kibibytes(&status))?
        };
        let sum: u64 = entries.flatten().filter_map(|entry| resident(entry.path())).sum();
        Some(sum / 1024)
    }

    /// Asks the process to end, and kills it if it does not. One that ended already is fine.
    ///
    /// # Errors
    ///
    /// Fails if the process is there even after it was killed, for example because it belongs to somebody else.
    pub(super) fn stop(self) -> Result<(), String> {
        self.stop_within(PATIENCE)
    }

    fn stop_within(self, patience: Duration) -> Result<(), String> {
        // A script passes the request on to the server that it runs. The group is for a script that does not.
        let (alone, group) = (self.pid.to_string(), format!("-{}", self.pid));
        for (signal, whom, patience) in [("TERM", alone, patience), ("KILL", group, KILLED)] {
            if !self.is_alive() {
                return Ok(());
            }
            send(signal, &whom);
            let began = Instant::now();
            while self.is_alive() && began.elapsed() < patience {
                pause(LOOK_AGAIN);
            }
        }
        if self.is_alive() {
            return Err(format!(
                "process {} cannot be stopped; does it belong to another user?",
                self.pid
            ));
        }
        Ok(())
    }
}

/// Sends a signal to a process, or to a group; whether it arrived shows in whether the process ends.
fn send(signal: &str, whom: &str) {
    let _ = Command::new("sh")
        .args(["-c", "kill -s \"$0\" -- \"$1\"", signal, whom])
        .stderr(Stdio::null())
        .status();
}

/// Starts a command that goes on when this task ends, and that a Ctrl-C in its terminal does not reach.
///
/// # Errors
///
/// Fails if the log cannot be written or the program cannot start.
pub(super) fn spawn(command: &mut Command, log: &Path) -> Result<Child, String> {
    let open = || {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(|error| format!("the log {} cannot be written: {error}", log.display()))
    };
    command
        .stdin(Stdio::null())
        .stdout(open()?)
        .stderr(open()?)
        .process_group(0);
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .spawn()
        .map_err(|error| format!("{program} cannot be started: {error}"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tasks have no runtime that this could block"
)]
pub(super) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// The start time in the text of `/proc/PID/stat`, unless the process has ended and only waits to be collected.
fn start_time(text: &str) -> Option<u64> {
    let mut fields = fields(text)?;
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// The process group in the text of `/proc/PID/stat`.
fn group(text: &str) -> Option<u32> {
    fields(text)?.nth(2)?.parse().ok()
}

/// The fields from the state on.
fn fields(text: &str) -> Option<impl Iterator<Item = &str>> {
    // The name in parentheses may hold anything, so what counts is what follows the last one.
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_ascii_whitespace())
}

fn resident_kibibytes(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "17 (odd ) name) S 1 17 16 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 98765 1000 10 184";

    #[test]
    fn fields_are_found_behind_a_name_with_parentheses() {
        assert_eq!(start_time(STAT), Some(98765));
        assert_eq!(group(STAT), Some(17));
    }

    #[test]
    fn a_process_that_only_waits_to_be_collected_has_ended() {
        assert_eq!(start_time(&STAT.replace(") S ", ") Z ")), None);
    }

    #[test]
    fn a_cut_off_text_has_no_start_time() {
        assert_eq!(start_time("17 (name) S 1 2"), None);
        assert_eq!(start_time(""), None);
    }

    #[test]
    fn a_process_that_does_not_want_to_end_is_killed_with_its_group() {
        let log = std::env::temp_dir().join(format!("xtask-{}-stubborn", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; echo up; sleep 600 & wait; sleep 600"]);
        let mut child = spawn(&mut command, &log).unwrap();
        let process = Process::with_pid(child.id()).unwrap();
        let began = Instant::now();
        while fs::read_to_string(&log).unwrap().is_empty() && began.elapsed() < Duration::from_secs(30) {
            pause(LOOK_AGAIN);
        }
        process.stop_within(Duration::from_millis(200)).unwrap();
        assert!(!process.is_alive());
        child.wait().unwrap();
        fs::remove_file(log).unwrap();
    }

    #[test]
    fn memory_is_read_from_its_line() {
        assert_eq!(resident_kibibytes("Name:\tx\nVmRSS:\t   2048 kB\n"), Some(2048));
        assert_eq!(resident_kibibytes("Name:\tx\n"), None);
    }

    #[test]
    fn another_process_with_the_same_number_is_not_the_one_that_was_started() {
        let this = Process::with_pid(std::process::id()).unwrap();
        assert!(this.is_alive());
        let earlier = Process {
            started: this.started - 1,
            ..this
        };
        assert!(!earlier.is_alive());
        assert!(earlier.stop().is_ok(), "there is nothing to stop");
        assert_eq!(earlier.memory(), None);
    }
}
