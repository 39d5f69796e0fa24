//! One child process that is spoken to in lines.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// How long a process may take to end by itself before it is killed.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How long an answer may take. A load process gives up earlier, with a better message.
const PATIENCE: Duration = Duration::from_secs(120);

/// A child process. It is killed when dropped; [`stop`](Self::stop) also waits until it is gone.
pub(crate) struct Process {
    what: String,
    child: Child,
    id: u32,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts a command. It gets a process group of its own, so that an interrupt from the terminal reaches the suite
    /// alone, which then ends all processes in order.
    pub(crate) fn start(what: String, mut command: Command) -> Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .process_group(0);
        let mut child = command
            .spawn()
            .with_context(|| format!("{what} cannot be started"))?;
        let id = child.id().with_context(|| format!("{what} ended at once"))?;
        let input = child.stdin.take().context("a piped standard input is missing")?;
        let output = child
            .stdout
            .take()
            .context("a piped standard output is missing")?;
        Ok(Self {
            what,
            child,
            id,
            input,
            output: BufReader::new(output).lines(),
        })
    }

    /// Starts this program once more, in another role.
    ///
    /// `many_files` lifts the limit of open files to the highest that is allowed.
    pub(crate) fn start_role(arguments: &[&str], many_files: bool) -> Result<Self> {
        let program = std::env::current_exe().context("the suite cannot find its own program")?;
        let mut command = if many_files {
            let mut shell = Command::new("/bin/sh");
            shell
                .args(["-c", "ulimit -n \"$(ulimit -H -n)\" && exec \"$0\" \"$@\""])
                .arg(program);
            shell
        } else {
            Command::new(program)
        };
        command.args(arguments);
        Self::start(format!("`benches {}`", arguments.join(" ")), command)
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Writes a line.
    pub(crate) async fn tell(&mut self, line: &str) -> Result<()> {
        let told = self.input.write_all(format!("{line}\n").as_bytes()).await;
        told.with_context(|| format!("{} does not listen any more", self.what))
    }

    /// Waits for the next line.
    pub(crate) async fn hear(&mut self) -> Result<String> {
        let line = timeout(PATIENCE, self.output.next_line()).await;
        let line = line.with_context(|| format!("{} said nothing for {PATIENCE:?}", self.what))??;
        line.with_context(|| format!("{} ended too early; what it wrote is above", self.what))
    }

    /// Sends an interrupt, as a terminal would.
    pub(crate) async fn interrupt(&self) -> Result<()> {
        let sent = Command::new("kill")
            .args(["-INT", &self.id.to_string()])
            .status()
            .await;
        sent.map(drop)
            .with_context(|| format!("`kill` cannot be started to interrupt {}", self.what))
    }

    /// Kills the process and waits until it is gone.
    pub(crate) async fn kill(mut self) {
        // It may just have ended by itself, which is as good.
        let _ = self.child.kill().await;
    }

    /// Ends the standard input, at which each role ends, and waits until the process is gone; kills it if it stays.
    pub(crate) async fn stop(mut self) {
        drop(self.input);
        if timeout(LAST_WORDS, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}
