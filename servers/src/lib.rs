//! Real servers of their own for tests and chaos runs: on free loopback ports, with data of their own, killed and
//! started again as it pleases, without anybody else noticing.
//!
//! The programs are those that `cargo xtask backends up` installs. Where one is missing, [`start_or_skip`] says so aloud,
//! and panics where servers must be had.

mod certificates;
pub mod consul;
pub mod etcd;
mod kafka;
pub mod kubernetes;
mod nsq;
mod nats;
mod ports;
mod process;
mod programs;
mod redis;
mod rabbitmq;
mod zookeeper;

use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::str::FromStr;

use anyhow::{Result, bail};

pub use self::certificates::{Authority, Files};
pub use self::process::Server;

/// The servers that can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// etcd, a single member.
    Etcd,
    /// A Consul agent in development mode, which keeps its data in memory.
    Consul,
    /// ZooKeeper, standalone.
    Zookeeper,
    /// A Kubernetes API server with an etcd of its own. No kubelet and no controllers run beside it.
    Kubernetes,
    /// Redis, which keeps its data.
    Redis,
    /// NSQ's daemon, which keeps what waits.
    Nsq,
    /// The directory of NSQ's daemons. They are told of it by `-lookupd-tcp-address`.
    Nsqlookupd,
    /// Kafka, a single node that is broker and controller.
    Kafka,
    /// NATS with JetStream, a single server.
    Nats,
    /// RabbitMQ, a single node.
    Rabbitmq,
}

impl Kind {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Etcd,
        Self::Consul,
        Self::Zookeeper,
        Self::Kubernetes,
        Self::Redis,
        Self::Nsq,
        Self::Nsqlookupd,
        Self::Kafka,
        Self::Nats,
        Self::Rabbitmq,
    ];

    /// Its name, which is also that of the plugin that it serves.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Consul => "consul",
            Self::Zookeeper => "zookeeper",
            Self::Kubernetes => "kubernetes",
            Self::Redis => "redis",
            Self::Nsq => "nsq",
            Self::Nsqlookupd => "nsqlookupd",
            Self::Kafka => "kafka",
            Self::Nats => "nats",
            Self::Rabbitmq => "rabbitmq",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match Self::ALL.iter().copied().find(|kind| kind.name() == name) {
            Some(kind) => Ok(kind),
            None => bail!(
                "there is no server called {name:?}; there are {}",
                Self::ALL
                    .iter()
                    .map(|kind| kind.name())
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        }
    }
}

/// Starts a server for a test, and waits until it serves.
///
/// # Returns
///
/// None where its program is not installed: the test is then left out, and says so on the standard error.
///
/// # Panics
///
/// When it does not start, and, with `CI` or `MICRO_REQUIRE_BACKENDS`, when its program is not installed.
pub async fn start_or_skip(kind: Kind) -> Option<Server> {
    is_installed_or_skip(kind).then_some(())?;
    let started = Server::start(kind).await;
    Some(started.unwrap_or_else(|problem| panic!("{problem:#}")))
}

/// The same as [`Server::start_with`] is to [`Server::start`].
///
/// # Panics
///
/// As [`start_or_skip`].
pub async fn start_with_or_skip(kind: Kind, arguments: &[&str]) -> Option<Server> {
    is_installed_or_skip(kind).then_some(())?;
    let started = Server::start_with(kind, arguments).await;
    Some(started.unwrap_or_else(|problem| panic!("{problem:#}")))
}

/// Ports that nobody uses and that this process gets only once, for what a server is to listen at beside the usual.
///
/// # Errors
///
/// When there are none.
pub fn free_ports<const COUNT: usize>() -> Result<[u16; COUNT]> {
    ports::free()
}

/// Whether a server's program is there. Where it is not, says so past the capture of the test's output.
///
/// # Panics
///
/// When it is not, and `CI` or `MICRO_REQUIRE_BACKENDS` is set.
pub fn is_installed_or_skip(kind: Kind) -> bool {
    let Err(missing) = programs::of(kind) else {
        return true;
    };
    let needed = format!("this test starts a {kind} of its own: {missing:#}");
    let is_set = |name| std::env::var(name).is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
    assert!(
        !["CI", "MICRO_REQUIRE_BACKENDS"].into_iter().any(is_set),
        "{needed}"
    );
    let _ = writeln!(std::io::stderr(), "skipped: {needed}");
    false
}

/// The body of a successful answer to a plain HTTP request.
///
/// # Errors
///
/// When nobody answers, or with a status that is none of success.
pub async fn http(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<String> {
    process::http(address, method, path, body).await
}
