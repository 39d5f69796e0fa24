//! toxiproxy, which makes networks bad, built from source.

use std::process::Command;

use crate::backends::home::Home;
use crate::backends::probe;
use crate::backends::site::Site;
use crate::backends::table::Backend;

const ADDRESS: &str = "127.0.0.1:8474";

pub(in crate::backends) const BACKEND: Backend = Backend {
    name: "toxiproxy",
    address: ADDRESS,
    needs: &[],
    services: &["toxiproxy"],
    probe,
    install,
};

fn probe(_: &Home) -> Result<String, String> {
    let version = probe::text(&probe::json(ADDRESS, "/version")?, "/version")?;
    Ok(version.trim_start_matches("git-").to_owned())
}

fn install(site: &Site<'_>) -> Result<Vec<Command>, String> {
    let program = site.go_build(
        "github.com/Shopify/toxiproxy/v2/cmd/server",
        "toxiproxy-server",
        FLAGS,
    )?;
    let mut command = Command::new(program);
    command.args(["-host", "127.0.0.1", "-port", "8474"]);
    Ok(vec![command])
}

const FLAGS: &str = "-s -w -X github.com/Shopify/toxiproxy/v2.Version=2.12.0";
