//! A Consul agent in development mode: server and client in one, everything in memory.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Result, ensure};
use tokio::process::Command;

use crate::process::{Server, Site, exchange, http};
use crate::{Authority, Kind, free_ports, programs, start_or_skip, start_with_or_skip};

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

/// An agent of a test's own, and what the test asks of it. All of it panics when the agent does not do it.
pub struct Consul {
    /// The process.
    pub server: Server,
}

impl Consul {
    /// Starts one and waits until it serves. None: the machine has none, and the test is left out.
    pub async fn start() -> Option<Self> {
        let server = start_or_skip(Kind::Consul).await?;
        Some(Self { server })
    }

    /// Starts one with further configuration, and further arguments.
    pub async fn start_with(configuration: &str, arguments: &[&str]) -> Option<Self> {
        let file = tempfile::Builder::new().suffix(".json").tempfile();
        let file = file.expect("there is a folder for passing files");
        std::fs::write(file.path(), configuration).expect("the file was just made");
        let named = format!("-config-file={}", file.path().display());
        let mut arguments = arguments.to_vec();
        arguments.push(&named);
        // It has read its configuration when it accepts connections.
        let server = start_with_or_skip(Kind::Consul, &arguments).await?;
        Some(Self { server })
    }

    /// Starts one that shows a certificate of this name and wants one of its callers. Also where it is encrypted.
    pub async fn start_encrypted(authority: &Authority, name: &str) -> Option<(Self, SocketAddr)> {
        let files = authority.files(name).expect("certificates can be made");
        let (ca, certificate, key) = (&files.authority, &files.certificate, &files.key);
        let configuration = format!(
            r#"{{"tls":{{"https":{{"ca_file":"{ca}","cert_file":"{certificate}","key_file":"{key}","verify_incoming":true}}}}}}"#
        );
        let [port] = free_ports().expect("there are free ports");
        let consul = Self::start_with(&configuration, &[&format!("-https-port={port}")]).await?;
        Some((consul, SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
    }

    /// Puts a value at a key, as anybody may.
    pub async fn put(&self, key: &str, value: &str) {
        self.tell(&format!("/v1/kv/{key}"), value).await;
    }

    /// Deletes a key, as anybody may.
    pub async fn delete(&self, key: &str) {
        let (status, answer) = self.http("DELETE", &format!("/v1/kv/{key}"), "", "").await;
        assert_eq!(status, 200, "DELETE {key}: {answer}");
    }

    /// Tells the agent something, as anybody may.
    pub async fn tell(&self, path: &str, body: &str) {
        let (status, answer) = self.http("PUT", path, "", body).await;
        assert_eq!(status, 200, "PUT {path}: {answer}");
    }

    /// What the agent says to anybody.
    pub async fn get(&self, path: &str) -> String {
        self.http("GET", path, "", "").await.1
    }

    /// The status and the answer.
    pub async fn http(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let said = format!(
            "{method} {path} HTTP/1.0\r\nhost: consul\r\nx-consul-token: {token}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let answer = exchange(self.server.address(), said.as_bytes()).await;
        let answer = answer.unwrap_or_else(|problem| panic!("{method} {path}: {problem:#}"));
        let parsed = answer
            .split_once("\r\n\r\n")
            .and_then(|(head, body)| Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned())));
        parsed.unwrap_or_else(|| panic!("{method} {path}: {answer}"))
    }
}
