//! etcd, from Debian.

use std::process::Command;

use crate::backends::home::Home;
use crate::backends::probe;
use crate::backends::site::Site;
use crate::backends::table::Backend;

pub(in crate::backends) const ADDRESS: &str = "127.0.0.1:2379";
const CLIENTS: &str = "http://127.0.0.1:2379";
const PEERS: &str = "http://127.0.0.1:2380";

pub(in crate::backends) const BACKEND: Backend = Backend {
    name: "etcd",
    address: ADDRESS,
    needs: &[],
    services: &["etcd"],
    probe,
    install,
};

fn probe(_: &Home) -> Result<String, String> {
    let health = probe::json(ADDRESS, "/health")?;
    match probe::text(&health, "/health")?.as_str() {
        "true" => probe::text(&probe::json(ADDRESS, "/version")?, "/etcdserver"),
        other => Err(format!("its health is {other:?}")),
    }
}

fn install(site: &Site<'_>) -> Result<Vec<Command>, String> {
    let program = site.program("etcd", &["etcd-server=3.*", "etcd-client=3.*"])?;
    let mut command = Command::new(program);
    command.args(["--name", "tests", "--data-dir"]).arg(site.data()?);
    command.args([
        "--listen-client-urls",
        CLIENTS,
        "--advertise-client-urls",
        CLIENTS,
    ]);
    command.args([
        "--listen-peer-urls",
        PEERS,
        "--initial-advertise-peer-urls",
        PEERS,
    ]);
    command.args(["--initial-cluster", &format!("tests={PEERS}")]);
    // What tests leave behind may be lost with the machine's power.
    command.args(["--unsafe-no-fsync", "--logger", "zap", "--log-level", "warn"]);
    Ok(vec![command])
}
