//! A Consul agent in development mode: server and client in one, everything in memory.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use tokio::process::Command;

use crate::process::{Site, http};
use crate::{Kind, programs};

pub(crate) fn command(site: &Site<'_>) -> Result<Command> {
    let [clients, dns, server, lan, wan, grpc] = site.ports;
    let configuration = site.data.join("agent.json");
    std::fs::write(
        &configuration,
        format!(
            r#"{{ "disable_update_check": true, "performance": {{ "raft_multiplier": 1 }},
                 "limits": {{ "http_max_conns_per_client": 2000 }},
                 "ports": {{ "http": {clients}, "dns": {dns}, "server": {server}, "serf_lan": {lan},
                             "serf_wan": {wan}, "grpc": {grpc}, "grpc_tls": -1 }} }}"#
        ),
    )?;
    let mut command = Command::new(programs::of(Kind::Consul)?);
    command
        .args([
            "agent",
            "-dev",
            "-node",
            "test",
            "-bind",
            "127.0.0.1",
            "-client",
            "127.0.0.1",
        ])
        .args(["-log-level", "warn", "-config-file"])
        .arg(configuration);
    Ok(command)
}

/// Waits for the catalog and not only for a leader, which is there a moment before.
pub(crate) async fn probe(address: SocketAddr) -> Result<()> {
    let itself = http(address, "GET", "/v1/health/service/consul?passing", "").await?;
    ensure!(itself.contains(r#""ID""#), "it is not in its own catalog yet");
    Ok(())
}
