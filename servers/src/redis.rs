//! Redis, which writes down what it was told before it answers.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use tokio::process::Command;

use crate::process::{Site, exchange};
use crate::{Kind, programs};

pub(crate) fn command(site: &Site<'_>) -> Result<Command> {
    let data = site.data.join("redis");
    std::fs::create_dir_all(&data)?;
    let mut command = Command::new(programs::of(Kind::Redis)?);
    command
        .args(["--bind", "127.0.0.1", "--port", &site.ports[0].to_string()])
        .args(["--daemonize", "no", "--save", "", "--appendonly", "yes"])
        .args(["--appendfsync", "always", "--dir"])
        .arg(data);
    Ok(command)
}

pub(crate) async fn probe(address: SocketAddr) -> Result<()> {
    let answer = exchange(address, b"PING\r\nQUIT\r\n").await?;
    ensure!(answer.starts_with("+PONG"), "it answers {answer:?}");
    Ok(())
}
