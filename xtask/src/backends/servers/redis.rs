//! Redis, from Debian.

use std::process::Command;

use crate::backends::home::Home;
use crate::backends::probe;
use crate::backends::site::Site;
use crate::backends::table::Backend;

const ADDRESS: &str = "127.0.0.1:6379";

pub(in crate::backends) const BACKEND: Backend = Backend {
    name: "redis",
    address: ADDRESS,
    needs: &[],
    services: &["redis"],
    probe,
    install,
};

fn probe(_: &Home) -> Result<String, String> {
    let answer = probe::exchange(ADDRESS, b"INFO server\r\nQUIT\r\n", |_| false)?;
    let answer = String::from_utf8_lossy(&answer);
    let version = answer
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"));
    let first = answer.lines().next().unwrap_or_default();
    version
        .map(str::to_owned)
        .ok_or_else(|| format!("it answers {first:?}"))
}

fn install(site: &Site<'_>) -> Result<Vec<Command>, String> {
    let program = site.program("redis-server", &["redis-server"])?;
    let mut command = Command::new(program);
    command
        .args(["--bind", "127.0.0.1", "--port", "6379", "--daemonize", "no"])
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(site.data()?);
    Ok(vec![command])
}
