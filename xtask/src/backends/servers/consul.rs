//! Consul, built from source. Its licence is not an open one: it is run in tests, and neither linked nor shipped.

use std::process::Command;

use crate::backends::home::Home;
use crate::backends::probe;
use crate::backends::site::Site;
use crate::backends::table::Backend;

const ADDRESS: &str = "127.0.0.1:8500";
const LOOPBACK: &str = "127.0.0.1";

pub(in crate::backends) const BACKEND: Backend = Backend {
    name: "consul",
    address: ADDRESS,
    needs: &[],
    services: &["consul"],
    probe,
    install,
};

/// Waits for the catalog and not only for a leader, which is there a moment before.
fn probe(_: &Home) -> Result<String, String> {
    let itself = probe::json(ADDRESS, "/v1/health/service/consul?passing")?;
    probe::text(&itself, "/0/Service/ID")?;
    probe::text(&probe::json(ADDRESS, "/v1/agent/self")?, "/Config/Version")
}

fn install(site: &Site<'_>) -> Result<Vec<Command>, String> {
    let program = site.go_build("github.com/hashicorp/consul", "consul", "-s -w")?;
    let configuration = site.write(
        "agent.json",
        r#"{ "disable_update_check": true, "performance": { "raft_multiplier": 1 }, "limits": { "http_max_conns_per_client": 2000 } }"#,
    )?;
    let mut command = Command::new(program);
    command
        .args([
            "agent", "-dev", "-node", "tests", "-bind", LOOPBACK, "-client", LOOPBACK,
        ])
        .args(["-log-level", "warn", "-config-file"])
        .arg(configuration);
    Ok(vec![command])
}
