//! The client and the server in Go.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Certificates;
use super::certificates::SERVER_NAME;

/// The cases of the client in Go that need nothing but a server.
pub const CASES: &[&str] = &[
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
    "pick_first_unary",
    "rpc_soak",
    "channel_soak",
];

/// How long one case, or the start of the server, may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct GoPrograms {
    client: PathBuf,
    server: PathBuf,
}

impl GoPrograms {
    /// The programs `client` and `server` of a folder.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            client: folder.join("client"),
            server: folder.join("server"),
        }
    }

    /// Runs one case of the client against a server on loopback.
    pub async fn call(
        &self,
        case: &str,
        address: &str,
        certificates: Option<&Certificates>,
    ) -> anyhow::Result<()> {
        let (host, port) = address
            .rsplit_once(':')
            .context("an address has a host and a port")?;
        let mut command = Command::new(&self.client);
        command.args([
            format!("--test_case={case}"),
            format!("--server_host={host}"),
            format!("--server_port={port}"),
        ]);
        if let Some(certificates) = certificates {
            command
                .args(["--use_tls", "--use_test_ca"])
                .arg(format!("--server_host_override={SERVER_NAME}"))
                .arg(file("--ca_file", &certificates.authority_file()));
        }
        let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let Ok(output) = timeout(PATIENCE, running).await else {
            bail!("the client in Go did not end within {PATIENCE:?}");
        };
        let output = output.with_context(|| format!("{} cannot be started", self.client.display()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}", said.lines().last().unwrap_or("it said nothing"));
    }

    /// Starts the server on a free port.
    pub async fn serve(&self, certificates: Option<&Certificates>) -> anyhow::Result<GoServer> {
        let mut command = Command::new(&self.server);
        // The port that it found is in its log alone.
        command
            .arg("--port=0")
            .env("GRPC_GO_LOG_SEVERITY_LEVEL", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(certificates) = certificates {
            command
                .arg("--use_tls")
                .arg(file("--tls_cert_file", &certificates.certificate_file()))
                .arg(file("--tls_key_file", &certificates.key_file()));
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("{} cannot be started", self.server.display()))?;
        let log = child.stderr.take().context("the log is piped")?;
        let mut log = BufReader::new(log).lines();
        let port = timeout(PATIENCE, port(&mut log))
            .await
            .context("the server in Go does not say where it listens")??;
        let mut reading = JoinSet::new();
        reading.spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        Ok(GoServer {
            address: format!("127.0.0.1:{port}"),
            child,
            _reading: reading,
        })
    }
}

fn file(option: &str, path: &Path) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from(option);
    text.push("=");
    text.push(path);
    text
}

async fn port(log: &mut Lines<BufReader<ChildStderr>>) -> anyhow::Result<u16> {
    while let Some(line) = log.next_line().await? {
        if let Some((_, address)) = line.split_once("interop server listening on ")
            && let Some((_, port)) = address.rsplit_once(':')
        {
            return Ok(port.trim().parse()?);
        }
    }
    bail!("the server in Go ended before it listened");
}

/// A server in Go. Killed when dropped.
pub struct GoServer {
    address: String,
    child: Child,
    /// Reads the log, which nobody needs, so that it does not fill up.
    _reading: JoinSet<()>,
}

impl GoServer {
    /// Where to call it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends it, for it does not end by itself.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.child
            .kill()
            .await
            .context("the server in Go cannot be ended")
    }
}
