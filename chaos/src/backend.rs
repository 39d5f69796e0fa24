//! A registry's or broker's server, in the care of a process that ends it when this one is gone, however that ended.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use servers::{Kind, Server};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::options::BackendOptions;
use crate::process::Process;

/// Far longer than a server takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(150);
/// How long the process may take to end its server and to clear up.
const LONGEST_END: Duration = Duration::from_secs(20);

const KILL: &str = "kill";
const STOP: &str = "stop";
const START_AGAIN: &str = "start_again";
const START_EMPTY: &str = "start_empty";
const DONE: &str = "done";
/// Stands before why something could not be done.
const FAILED: &str = "failed ";

/// A server of one's own. It ends soon after this is dropped.
pub(crate) struct Backend {
    process: Process,
    address: SocketAddr,
}

impl Backend {
    /// Starts a server, and waits until it serves.
    pub(crate) async fn start(kind: Kind) -> Result<Self> {
        Self::start_with(kind, &[]).await
    }

    /// The same with further arguments for the server's program.
    pub(crate) async fn start_with(kind: Kind, further: &[String]) -> Result<Self> {
        let mut arguments = vec!["backend".to_owned(), format!("--kind={kind}")];
        arguments.extend(further.iter().map(|argument| format!("--argument={argument}")));
        let mut process = Process::start_lasting(&arguments)?;
        let address = answer(&mut process).await?;
        Ok(Self {
            process,
            address: address
                .parse()
                .with_context(|| format!("{address:?} is no address"))?,
        })
    }

    /// Where clients connect to, also while nobody is there.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills the server.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.ask(KILL).await
    }

    /// Asks the server to end, and waits until it has.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        self.ask(STOP).await
    }

    /// Starts it again with its data, and waits until it serves.
    pub(crate) async fn start_again(&mut self) -> Result<()> {
        self.ask(START_AGAIN).await
    }

    /// Starts it again without any data, and waits until it serves.
    pub(crate) async fn start_empty(&mut self) -> Result<()> {
        self.ask(START_EMPTY).await
    }

    async fn ask(&mut self, what: &str) -> Result<()> {
        self.process.tell(what).await?;
        answer(&mut self.process).await.map(drop)
    }

    /// Ends it, and waits until it has.
    pub(crate) async fn end(mut self) -> Result<()> {
        self.process.say_no_more();
        self.process.ended(LONGEST_END).await.map(drop)
    }
}

async fn answer(process: &mut Process) -> Result<String> {
    match process.line_within(PATIENCE).await? {
        Some(line) => match line.strip_prefix(FAILED) {
            Some(problem) => bail!("{problem}"),
            None => Ok(line),
        },
        None => bail!("the process with the server ended; what it wrote is above"),
    }
}

/// The process: does with the server what its standard input says, and ends it when that ends.
pub(crate) async fn run(options: &BackendOptions) -> Result<()> {
    let kind = options.kind;
    let arguments: Vec<&str> = options.arguments.iter().map(String::as_str).collect();
    let started = match arguments[..] {
        [] => Server::start(kind).await,
        _ => Server::start_with(kind, &arguments).await,
    };
    let mut server = match started {
        Ok(server) => server,
        Err(problem) => {
            say_failed(&problem.context(format!("this run needs a server of {kind} of its own")));
            return Ok(());
        }
    };
    println!("{}", server.address());
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let done = match line.as_str() {
            KILL => server.kill().await,
            STOP => server.stop().await,
            START_AGAIN => server.start_again().await,
            START_EMPTY => server.start_empty().await,
            other => bail!("told to {other:?}, which is unknown"),
        };
        match done {
            Ok(()) => println!("{DONE}"),
            Err(problem) => say_failed(&problem),
        }
    }
    server.kill().await
}

/// In one line.
fn say_failed(problem: &anyhow::Error) {
    println!("{FAILED}{}", format!("{problem:#}").replace('\n', " | "));
}
