//! NATS with JetStream, a single server.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::process::Site;
use crate::{Kind, programs};

pub(crate) fn command(site: &Site<'_>) -> Result<Command> {
    let mut command = Command::new(programs::of(Kind::Nats)?);
    command
        .args(["-a", "127.0.0.1", "-p", &site.ports[0].to_string()])
        .args(["-js", "-sd"])
        .arg(site.data.join("nats"));
    Ok(command)
}

pub(crate) async fn probe(address: SocketAddr) -> Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    let mut info = String::new();
    stream.read_line(&mut info).await?;
    ensure!(info.contains(r#""jetstream":true"#), "it says {info:?}");
    stream
        .write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n")
        .await?;
    let mut pong = String::new();
    stream.read_line(&mut pong).await?;
    ensure!(pong.starts_with("PONG"), "it says {pong:?}");
    Ok(())
}
