//! NSQ's daemon and its directory, built from source.

use std::process::Command;

use crate::backends::home::Home;
use crate::backends::probe;
use crate::backends::site::Site;
use crate::backends::table::Backend;

const DAEMON: &str = "127.0.0.1:4151";
const DIRECTORY: &str = "127.0.0.1:4161";

pub(in crate::backends) const BACKEND: Backend = Backend {
    name: "nsq",
    address: "127.0.0.1:4150",
    needs: &[],
    services: &["nsqlookupd", "nsqd"],
    probe,
    install,
};

fn probe(_: &Home) -> Result<String, String> {
    for address in [DIRECTORY, DAEMON] {
        match probe::http(address, "/ping")?.as_str() {
            "OK" => {}
            other => return Err(format!("{address} says {other:?}")),
        }
    }
    probe::text(&probe::json(DAEMON, "/info")?, "/version")
}

fn install(site: &Site<'_>) -> Result<Vec<Command>, String> {
    let directory = site.go_build("github.com/nsqio/nsq/apps/nsqlookupd", "nsqlookupd", "-s -w")?;
    let daemon = site.go_build("github.com/nsqio/nsq/apps/nsqd", "nsqd", "-s -w")?;
    // Without an address to tell, they tell the name of the machine.
    let told = ["-broadcast-address", "127.0.0.1"];
    let mut first = Command::new(directory);
    first
        .args(["-tcp-address", "127.0.0.1:4160", "-http-address", DIRECTORY])
        .args(told);
    let mut second = Command::new(daemon);
    second
        .args(["-tcp-address", "127.0.0.1:4150", "-http-address", DAEMON])
        .args(["-lookupd-tcp-address", "127.0.0.1:4160", "-data-path"])
        .arg(site.data()?)
        .args(told);
    Ok(vec![first, second])
}
