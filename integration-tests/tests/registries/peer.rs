//! A service as a process of its own.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::network::{Network, PATIENCE};

/// A running service. Killed when dropped.
pub(crate) struct Peer {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    /// Starts a node, and waits until it serves and is registered.
    pub(crate) async fn start(network: &Network, service: &str, id: &str, flags: &[&str]) -> Self {
        let membership = network.membership().await;
        let mut child = Command::new(env!("CARGO_BIN_EXE_registry-peer"))
            .args(membership.flags)
            .args([format!("--server_name={service}"), format!("--server_id={id}")])
            .args(["--log_level=error", "--server_notice=200ms"])
            .args(flags)
            .envs(membership.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut peer = Self {
            input: child.stdin.take().unwrap(),
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
        };
        let said = peer.line().await;
        assert!(
            said.as_deref().is_some_and(|line| line.starts_with("serves at ")),
            "{service} does not start: {said:?}"
        );
        peer
    }

    async fn line(&mut self) -> Option<String> {
        timeout(PATIENCE, self.lines.next_line())
            .await
            .expect("the peer hangs")
            .unwrap()
    }

    /// Stops it as a service should be: with a good-bye, when its running calls are done.
    pub(crate) async fn stop(mut self) {
        drop(self.input);
        let said = timeout(PATIENCE, self.lines.next_line())
            .await
            .expect("the peer does not stop");
        assert_eq!(said.unwrap().as_deref(), Some("stopped"));
        assert!(self.child.wait().await.unwrap().success());
    }

    /// Kills it, as a power failure does.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}
