//! Where the programs are.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::Kind;

/// The program of a server.
///
/// # Errors
///
/// When it is not installed; the message says how to have it.
pub(crate) fn of(kind: Kind) -> Result<PathBuf> {
    let found = match kind {
        Kind::Etcd => on_path("etcd"),
        Kind::Consul => built("consul").or_else(|| on_path("consul")),
        Kind::Zookeeper => on_path("java").filter(|_| ZOOKEEPER.iter().all(|file| Path::new(file).is_file())),
        Kind::Kafka => on_path("java").filter(|_| kafka().is_dir()),
        Kind::Kubernetes => built("kube-apiserver").filter(|_| on_path("etcd").is_some()),
        Kind::Redis => on_path("redis-server"),
        Kind::Nsq => built("nsqd").or_else(|| on_path("nsqd")),
        Kind::Nsqlookupd => built("nsqlookupd").or_else(|| on_path("nsqlookupd")),
        Kind::Nats => on_path("nats-server").or_else(|| built("nats-server")),
        Kind::Rabbitmq => newest_rabbitmq().filter(|_| on_path("epmd").is_some()),
    };
    match found {
        Some(program) => Ok(program),
        None => {
            let backend = match kind {
                Kind::Nsqlookupd => Kind::Nsq,
                other => other,
            };
            bail!("it is not installed; `cargo xtask backends up {backend}` installs it")
        }
    }
}

/// Debian's ZooKeeper, what it logs with, and what it encrypts with and does not name itself.
pub(crate) const ZOOKEEPER: [&str; 3] = [
    "/usr/share/java/zookeeper.jar",
    "/usr/share/java/slf4j-simple.jar",
    "/usr/share/java/netty-codec.jar",
];

/// The folder of Kafka's archives.
pub(crate) fn kafka() -> PathBuf {
    home().join("bin/kafka")
}

/// The folder of what `cargo xtask backends` keeps.
pub(crate) fn home() -> PathBuf {
    let named = std::env::var_os("MICRO_BACKENDS_HOME").filter(|value| !value.is_empty());
    named.map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/backends"),
        PathBuf::from,
    )
}

/// Debian's newest RabbitMQ: the one on the search path changes user and folders.
fn newest_rabbitmq() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/rabbitmq/lib").ok()?;
    let programs = versions.filter_map(|version| Some(version.ok()?.path().join("sbin/rabbitmq-server")));
    programs.filter(|program| program.is_file()).max()
}

fn built(name: &str) -> Option<PathBuf> {
    Some(home().join("bin").join(name)).filter(|program| program.is_file())
}

fn on_path(name: &str) -> Option<PathBuf> {
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    let mut programs = std::env::split_paths(&search_path).map(|folder| folder.join(name));
    programs.find(|program| program.is_file())
}
