//! One child process.

use std::io::Write;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Far longer than a process takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// This program once more, in another role. Killed when dropped; should this process be killed instead, the child
/// reads the end of its standard input, and ends.
pub(crate) struct Process {
    what: String,
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
    input: Option<ChildStdin>,
}

impl Process {
    /// Starts this program in a role.
    pub(crate) fn start(arguments: &[String]) -> Result<Self> {
        Self::spawn(arguments, &[], true)
    }

    /// The same, but that it is not killed when this is dropped. It must end when its standard input does.
    pub(crate) fn start_lasting(arguments: &[String]) -> Result<Self> {
        Self::spawn(arguments, &[], false)
    }

    fn spawn(arguments: &[String], variables: &[(String, String)], is_killed: bool) -> Result<Self> {
        let program = std::env::current_exe().context("the program cannot find itself")?;
        let what = format!("`chaos {}`", arguments.join(" "));
        let mut child = Command::new(program)
            .args(arguments)
            .envs(variables.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(is_killed)
            // An interrupt from the terminal shall reach this program alone, which then ends all others.
            .process_group(0)
            .spawn()
            .with_context(|| format!("{what} cannot be started"))?;
        let input = child.stdin.take().context("a piped standard input is missing")?;
        let output = child
            .stdout
            .take()
            .context("a piped standard output is missing")?;
        Ok(Self {
            what,
            child,
            output: BufReader::new(output).lines(),
            input: Some(input),
        })
    }

    /// The next line that the process prints; `None` when it prints no more.
    pub(crate) async fn line(&mut self) -> Result<Option<String>> {
        self.line_within(PATIENCE).await
    }

    /// The same with a patience of one's own.
    pub(crate) async fn line_within(&mut self, patience: Duration) -> Result<Option<String>> {
        let line = timeout(patience, self.output.next_line()).await;
        let line = line.with_context(|| format!("{} said nothing for {patience:?}", self.what))?;
        line.with_context(|| format!("{} cannot be heard", self.what))
    }

    /// Writes a line to the standard input of the process.
    pub(crate) async fn tell(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut();
        let input = input.with_context(|| format!("{} was to be told no more", self.what))?;
        let told = input.write_all(format!("{line}\n").as_bytes()).await;
        told.with_context(|| format!("{} cannot be told to {line}", self.what))
    }

    /// Ends the standard input of the process.
    pub(crate) fn say_no_more(&mut self) {
        self.input = None;
    }

    /// The same as [`start`](Self::start), once it says that it is [ready](say_ready).
    pub(crate) async fn start_ready(arguments: &[String]) -> Result<Self> {
        Self::start_ready_with(arguments, &[]).await
    }

    /// The same with variables in its environment.
    pub(crate) async fn start_ready_with(
        arguments: &[String],
        variables: &[(String, String)],
    ) -> Result<Self> {
        let mut process = Self::spawn(arguments, variables, true)?;
        match process.line().await? {
            Some(line) if line == READY => Ok(process),
            Some(line) => bail!("{} said {line:?} instead of {READY:?}", process.what),
            None => bail!(
                "{} ended before it was ready; what it wrote is above",
                process.what
            ),
        }
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) -> Result<()> {
        let id = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let id = id.with_context(|| format!("{} ended before it was told to", self.what))?;
        kill_process(id, Signal::TERM).with_context(|| format!("cannot send SIGTERM to {}", self.what))
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child
            .start_kill()
            .with_context(|| format!("cannot kill {}", self.what))
    }

    /// Waits until the process has ended; `None` if it has not in that time.
    pub(crate) async fn ended(&mut self, within: Duration) -> Result<Option<ExitStatus>> {
        match timeout(within, self.child.wait()).await {
            Ok(ended) => {
                Ok(Some(ended.with_context(|| {
                    format!("{} cannot be waited for", self.what)
                })?))
            }
            Err(_) => Ok(None),
        }
    }
}

/// What a service's process prints when it is registered.
const READY: &str = "ready";

/// Tells the parent, once a service has started.
pub(crate) async fn say_ready() -> micro::Result<()> {
    let mut output = std::io::stdout();
    // If nobody reads it, the parent is gone, and with it this process.
    let _ = writeln!(output, "{READY}").and_then(|()| output.flush());
    Ok(())
}

/// Ends this process when its standard input ends, which is when its parent is gone, however that ended.
///
/// In a thread, because reading a pipe cannot be cancelled: a runtime would wait for it when it shuts down.
pub(crate) fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    });
}
