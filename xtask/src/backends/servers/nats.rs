//! NATS with JetStream, from Debian.

use std::process::Command;

use crate::backends::home::Home;
use crate::backends::probe;
use crate::backends::site::Site;
use crate::backends::table::Backend;

const MONITOR: &str = "127.0.0.1:8222";

pub(in crate::backends) const BACKEND: Backend = Backend {
    name: "nats",
    address: "127.0.0.1:4222",
    needs: &[],
    services: &["nats"],
    probe,
    install,
};

fn probe(_: &Home) -> Result<String, String> {
    let health = probe::json(MONITOR, "/healthz?js-enabled-only=true")?;
    match probe::text(&health, "/status")?.as_str() {
        "ok" => probe::text(&probe::json(MONITOR, "/varz")?, "/version"),
        other => Err(format!("its health is {other:?}")),
    }
}

fn install(site: &Site<'_>) -> Result<Vec<Command>, String> {
    let program = site.program("nats-server", &["nats-server=2.*"])?;
    let mut command = Command::new(program);
    command
        .args(["-a", "127.0.0.1", "-p", "4222", "-m", "8222", "-js", "-sd"])
        .arg(site.data()?);
    Ok(vec![command])
}
