//! Counting system calls with `perf`.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::process::Process;

const EVENT: &str = "raw_syscalls:sys_enter";

/// A running `perf` that counts the system calls of some processes while it is switched on.
pub(crate) struct Counter(Process);

impl Counter {
    /// Starts `perf` for processes and their threads, switched off.
    ///
    /// # Errors
    ///
    /// Fails if there is no `perf`.
    pub(crate) fn start(processes: &[u32]) -> Result<Self> {
        let processes: Vec<String> = processes.iter().map(u32::to_string).collect();
        let mut perf = Command::new("perf");
        perf.args([
            "stat",
            "-x,",
            "-e",
            EVENT,
            "--delay=-1",
            "--control=fd:0,1",
            "--log-fd=1",
            "-p",
        ]);
        perf.arg(processes.join(",")).stderr(Stdio::null());
        Ok(Self(Process::start("`perf stat`".to_owned(), perf)?))
    }

    /// Waits until it is attached, which is when it answers.
    ///
    /// # Errors
    ///
    /// Fails if `perf` may not trace.
    pub(crate) async fn attach(&mut self) -> Result<()> {
        let attached = self.switch("disable").await;
        attached.with_context(|| {
            format!("`perf` is there but does not count; `perf stat -e {EVENT} true` shows why")
        })
    }

    /// Counts from now on.
    pub(crate) async fn enable(&mut self) -> Result<()> {
        self.switch("enable").await
    }

    /// Counts no more and gives the number.
    pub(crate) async fn finish(&mut self) -> Result<u64> {
        self.switch("disable").await?;
        self.0.interrupt().await?;
        count(&self.0.hear().await?)
    }

    /// Ends `perf` and waits until it is gone.
    pub(crate) async fn stop(self) {
        // The end of its standard input does not make it end. Since nothing is read any more, killing it loses nothing.
        self.0.kill().await;
    }

    async fn switch(&mut self, command: &str) -> Result<()> {
        self.0.tell(command).await?;
        let answer = self.0.hear().await?;
        ensure!(
            without_zeros(&answer) == "ack",
            "`perf stat` answered {answer:?} to {command}"
        );
        Ok(())
    }
}

/// The number in a line such as `1234,,raw_syscalls:sys_enter,…`.
fn count(line: &str) -> Result<u64> {
    let number = without_zeros(line)
        .split(',')
        .next()
        .and_then(|number| number.parse().ok());
    number.with_context(|| format!("`perf stat` ended with {line:?} and not with a number"))
}

/// `perf` ends its answers with a zero byte after the line break, which shows at the beginning of the next line.
fn without_zeros(line: &str) -> &str {
    line.trim_matches('\0').trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_the_first_field() {
        assert_eq!(
            count("\u{0}1234,,raw_syscalls:sys_enter,5,100.00,,").unwrap(),
            1234
        );
        assert!(count("<not counted>,,raw_syscalls:sys_enter,0,100.00,,").is_err());
    }
}
