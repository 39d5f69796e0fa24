//! NSQ's daemon, which keeps on disk what waits, and its directory.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use tokio::process::Command;

use crate::process::{Site, http};
use crate::{Kind, programs};

pub(crate) fn daemon(site: &Site<'_>) -> Result<Command> {
    let data = site.data.join("nsqd");
    std::fs::create_dir_all(&data)?;
    let mut command = Command::new(programs::of(Kind::Nsq)?);
    command
        .args(addresses(site))
        .args([
            "-mem-queue-size=0",
            "-sync-every=1",
            "-log-level=warn",
            "-data-path",
        ])
        .arg(data);
    Ok(command)
}

pub(crate) fn directory(site: &Site<'_>) -> Result<Command> {
    let mut command = Command::new(programs::of(Kind::Nsqlookupd)?);
    command.args(addresses(site)).arg("-log-level=warn");
    Ok(command)
}

fn addresses(site: &Site<'_>) -> [String; 3] {
    let [protocol, http] = [0, 1].map(|port| format!("127.0.0.1:{}", site.ports[port]));
    [
        format!("-tcp-address={protocol}"),
        format!("-http-address={http}"),
        "-broadcast-address=127.0.0.1".to_owned(),
    ]
}

pub(crate) async fn probe(beside: SocketAddr) -> Result<()> {
    let answer = http(beside, "GET", "/ping", "").await?;
    ensure!(answer == "OK", "it answers {answer:?}");
    Ok(())
}
