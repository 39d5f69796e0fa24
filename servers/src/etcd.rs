//! etcd, a single member.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use tokio::process::Command;

use crate::process::{Site, http};
use crate::{Kind, programs};

pub(crate) fn command(site: &Site<'_>) -> Result<Command> {
    let mut command = Command::new(programs::of(Kind::Etcd)?);
    let [clients, peers] = [0, 1].map(|port| format!("http://127.0.0.1:{}", site.ports[port]));
    command
        .args([
            "--name",
            "test",
            "--unsafe-no-fsync",
            "--logger",
            "zap",
            "--log-level",
            "error",
        ])
        // So that a single member elects itself at once, and leases may be as short as a second.
        .args(["--heartbeat-interval", "10", "--election-timeout", "100"])
        .arg("--data-dir")
        .arg(site.data.join("etcd"))
        .args([
            "--listen-client-urls",
            &clients,
            "--advertise-client-urls",
            &clients,
        ])
        .args([
            "--listen-peer-urls",
            &peers,
            "--initial-advertise-peer-urls",
            &peers,
        ])
        .args(["--initial-cluster", &format!("test={peers}")]);
    Ok(command)
}

pub(crate) async fn probe(address: SocketAddr) -> Result<()> {
    let health = http(address, "GET", "/health", "").await?;
    ensure!(health.contains(r#""health":"true""#), "its health is {health}");
    Ok(())
}
