//! Servers from official images, through docker compose.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{process, programs};
use crate::cargo;

/// How long an engine may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(15);

/// Whether a docker engine and the compose plugin answer, and not only a client.
pub(super) fn is_available() -> bool {
    programs::find("docker").is_some()
        && answers(&["info", "--format", "{{.ServerVersion}}"])
        && answers(&["compose", "version"])
}

/// The command that starts services and waits until their health checks pass.
pub(super) fn up(services: &[&str]) -> Command {
    let mut command = compose();
    command
        .args(["up", "--detach", "--wait", "--wait-timeout", "180"])
        .args(services);
    command
}

/// The command that stops and removes services.
pub(super) fn down(services: &[String]) -> Command {
    let mut command = compose();
    command.args(["rm", "--stop", "--force"]).args(services);
    command
}

fn compose() -> Command {
    let root = cargo::root();
    let mut command = Command::new("docker");
    command
        .args(["compose", "--file"])
        .arg(root.join("docker-compose.yml"))
        .current_dir(root);
    command
}

fn answers(arguments: &[&str]) -> bool {
    let child = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        return false;
    };
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => process::pause(Duration::from_millis(20)),
            Err(_) => return false,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}
