//! A server as a process: its ports, its data, its life.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use crate::{Kind, consul, etcd, kafka, kubernetes, nats, nsq, ports, rabbitmq, redis, zookeeper};

/// How long a server may take to serve, on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How often to ask whether it serves.
const PAUSE: Duration = Duration::from_millis(50);

/// A server of one's own. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    ports: [u16; 6],
    arguments: Vec<String>,
    /// Whether it may be asked without encryption and password whether it serves.
    is_open: bool,
    data: TempDir,
    process: Option<Child>,
    /// What it needs itself: Kubernetes' etcd.
    below: Option<Box<Self>>,
    /// A small program that has to run all the time: RabbitMQ's `epmd`.
    beside: Option<Child>,
}

/// What a start is made of.
pub(crate) struct Site<'a> {
    /// The first is where clients connect to.
    pub(crate) ports: &'a [u16; 6],
    pub(crate) data: &'a std::path::Path,
    pub(crate) below: Option<SocketAddr>,
}

impl Server {
    /// Starts one, and waits until it serves.
    ///
    /// # Errors
    ///
    /// When its program is not installed or does not come up in time; the message has the end of its log.
    pub async fn start(kind: Kind) -> Result<Self> {
        Self::start_as(kind, &[], true).await
    }

    /// The same with further arguments for the program, in which `{address}` stands for where clients connect to, and
    /// `{port}` for its port. It may want encryption then, so it is waited for only until it accepts connections.
    /// Those of ZooKeeper and Kafka are arguments for Java where they begin with a dash, and else lines of their
    /// configuration, as all of RabbitMQ's are.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_with(kind: Kind, arguments: &[&str]) -> Result<Self> {
        Self::start_as(kind, arguments, false).await
    }

    async fn start_as(kind: Kind, arguments: &[&str], is_open: bool) -> Result<Self> {
        let below = match kind {
            Kind::Kubernetes => Some(Box::new(Box::pin(Self::start(Kind::Etcd)).await?)),
            _ => None,
        };
        let mut server = Self {
            kind,
            ports: ports::free()?,
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            data: TempDir::new()?,
            is_open,
            process: None,
            below,
            beside: None,
        };
        server.run().await?;
        Ok(server)
    }

    /// Which server it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports[0]))
    }

    /// Where NSQ's servers answer over HTTP, beside where their protocol is spoken.
    pub fn http_address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports[1]))
    }

    /// Asks it to end, and waits until it has, as whoever runs it does before a restart.
    ///
    /// # Errors
    ///
    /// When it does not end in time.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        if let Some(id) = process.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            kill_process(id, Signal::TERM)
                .with_context(|| format!("{} cannot be asked to end", self.kind))?;
        }
        let ended = timeout(PATIENCE, process.wait()).await;
        ended.with_context(|| format!("{} does not end within {PATIENCE:?}", self.kind))??;
        self.process = None;
        Ok(())
    }

    /// Kills it, as a power failure does. Nothing is at its address then.
    ///
    /// # Errors
    ///
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process
                .kill()
                .await
                .with_context(|| format!("{} cannot be killed", self.kind))?;
        }
        Ok(())
    }

    /// Starts it again with the data that it had, and waits until it serves. Kills it before, if it runs.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_again(&mut self) -> Result<()> {
        self.kill().await?;
        self.run().await
    }

    /// Starts it again without any data, and waits until it serves. Kills it before, if it runs.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_empty(&mut self) -> Result<()> {
        self.kill().await?;
        if let Some(below) = &mut self.below {
            Box::pin(below.start_empty()).await?;
        }
        self.data = TempDir::new()?;
        self.run().await
    }

    async fn run(&mut self) -> Result<()> {
        let site = Site {
            ports: &self.ports,
            data: self.data.path(),
            below: self.below.as_ref().map(|below| below.address()),
        };
        let (address, port) = (self.address().to_string(), self.ports[0].to_string());
        let arguments = self.arguments.iter();
        let arguments: Vec<String> = arguments
            .map(|argument| argument.replace("{address}", &address).replace("{port}", &port))
            .collect();
        let mut command = match self.kind {
            Kind::Etcd => etcd::command(&site)?,
            Kind::Consul => consul::command(&site)?,
            Kind::Zookeeper => zookeeper::command(&site, &arguments)?,
            Kind::Kubernetes => kubernetes::command(&site)?,
            Kind::Redis => redis::command(&site)?,
            Kind::Nsq => nsq::daemon(&site)?,
            Kind::Nsqlookupd => nsq::directory(&site)?,
            Kind::Kafka => kafka::command(&site, &arguments)?,
            Kind::Nats => nats::command(&site)?,
            Kind::Rabbitmq => rabbitmq::command(&site, &arguments)?,
        };
        if !matches!(self.kind, Kind::Zookeeper | Kind::Kafka | Kind::Rabbitmq) {
            command.args(arguments);
        }
        if self.kind == Kind::Rabbitmq && self.beside.is_none() {
            let mut names = rabbitmq::names(self.ports[2]);
            names
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            self.beside = Some(
                names
                    .kill_on_drop(true)
                    .spawn()
                    .context("epmd cannot be started")?,
            );
        }
        let log = self.data.path().join("log");
        let output = File::create(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true);
        let mut process = command
            .spawn()
            .with_context(|| format!("{} cannot be started", self.kind))?;
        let until = Instant::now() + PATIENCE;
        let ended = loop {
            let problem = match timeout(ANSWER, self.probe()).await {
                Ok(Ok(())) => {
                    self.process = Some(process);
                    return Ok(());
                }
                Ok(Err(problem)) => problem,
                Err(_) => anyhow::anyhow!("no answer within {ANSWER:?}"),
            };
            if let Some(status) = process.try_wait()? {
                break format!("it ended with {status}");
            }
            if Instant::now() > until {
                break format!("it does not serve within {PATIENCE:?}: {problem:#}");
            }
            sleep(PAUSE).await;
        };
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = said.lines().rev().take(20).collect();
        let said: Vec<&str> = lines.into_iter().rev().collect();
        bail!(
            "{} does not start: {ended}; its log ends with:\n{}",
            self.kind,
            said.join("\n")
        )
    }

    async fn probe(&self) -> Result<()> {
        let address = self.address();
        // Kafka's usual listener stays open to all.
        if !self.is_open && self.kind != Kind::Kafka {
            TcpStream::connect(address).await?;
            return Ok(());
        }
        match self.kind {
            Kind::Etcd => etcd::probe(address).await,
            Kind::Consul => consul::probe(address).await,
            Kind::Zookeeper => zookeeper::probe(address).await,
            Kind::Kubernetes => kubernetes::probe(address).await,
            Kind::Redis => redis::probe(address).await,
            Kind::Nsq | Kind::Nsqlookupd => nsq::probe(self.http_address()).await,
            Kind::Kafka => kafka::probe(address).await,
            Kind::Nats => nats::probe(address).await,
            Kind::Rabbitmq => rabbitmq::probe(address).await,
        }
    }
}

/// What a server says to some bytes until it hangs up.
pub(crate) async fn exchange(address: SocketAddr, said: &[u8]) -> Result<String> {
    let answer = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(said).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        anyhow::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    timeout(ANSWER, answer).await?
}

pub(crate) async fn http(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<String> {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nhost: {address}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    let answer = exchange(address, request.as_bytes()).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("it is no HTTP answer")?;
    let status = head.lines().next().unwrap_or_default();
    let is_success = status.split(' ').nth(1).is_some_and(|code| code.starts_with('2'));
    ensure!(is_success, "{method} {path}: {status}: {body}");
    Ok(body.to_owned())
}
