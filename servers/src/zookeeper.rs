//! ZooKeeper, standalone.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use tokio::process::Command;

use crate::process::{Site, exchange};
use crate::{Kind, programs};

/// Takes arguments for Java, which begin with a dash, and further lines of the configuration. With a
/// `secureClientPort` among these, it listens nowhere else.
pub(crate) fn command(site: &Site<'_>, arguments: &[String]) -> Result<Command> {
    let configuration = site.data.join("zoo.cfg");
    let (for_java, mut lines): (Vec<_>, Vec<_>) = arguments
        .iter()
        .cloned()
        .partition(|argument| argument.starts_with('-'));
    if !lines.iter().any(|line| line.starts_with("secureClientPort=")) {
        lines.push(format!("clientPort={}", site.ports[0]));
        lines.push("clientPortAddress=127.0.0.1".to_owned());
    }
    // Short ticks make short sessions possible, and with them fast tests of nodes that die.
    std::fs::write(
        &configuration,
        format!(
            "tickTime=500\nminSessionTimeout=1000\nmaxSessionTimeout=60000\nmaxClientCnxns=0\n\
             admin.enableServer=false\n4lw.commands.whitelist=*\ndataDir={}\n{}\n",
            site.data.join("zookeeper").display(),
            lines.join("\n")
        ),
    )?;
    let mut command = Command::new(programs::of(Kind::Zookeeper)?);
    command
        .args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .args([
            "-Dzookeeper.forceSync=no",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        ])
        .args(for_java)
        .args(["-cp", &programs::ZOOKEEPER.join(":")])
        .arg("org.apache.zookeeper.server.ZooKeeperServerMain")
        .arg(configuration);
    Ok(command)
}

/// Asks with `srvr`, because `ruok` is answered before the server serves.
pub(crate) async fn probe(address: SocketAddr) -> Result<()> {
    let answer = exchange(address, b"srvr").await?;
    ensure!(answer.contains("Mode: standalone"), "it does not serve yet");
    Ok(())
}
