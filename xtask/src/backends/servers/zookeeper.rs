//! ZooKeeper, from Debian.

use std::process::Command;

use crate::backends::home::Home;
use crate::backends::probe;
use crate::backends::site::Site;
use crate::backends::table::Backend;

const ADDRESS: &str = "127.0.0.1:2181";
const PACKAGES: &[&str] = &["zookeeper=3.*", "libslf4j-java", "default-jre-headless"];

pub(in crate::backends) const BACKEND: Backend = Backend {
    name: "zookeeper",
    address: ADDRESS,
    needs: &[],
    services: &["zookeeper"],
    probe,
    install,
};

/// Asks with `srvr`, because `ruok` is answered before the server serves.
fn probe(_: &Home) -> Result<String, String> {
    let answer = probe::exchange(ADDRESS, b"srvr", |_| false)?;
    version(&String::from_utf8_lossy(&answer))
}

fn version(answer: &str) -> Result<String, String> {
    if !answer.lines().any(|line| line == "Mode: standalone") {
        return Err("it does not serve as a single server yet".to_owned());
    }
    let version = answer
        .lines()
        .find_map(|line| line.strip_prefix("Zookeeper version: "));
    let version = version.ok_or("its answer has no version")?;
    let end = version.find(['-', ',']).unwrap_or(version.len());
    Ok(version[..end].to_owned())
}

fn install(site: &Site<'_>) -> Result<Vec<Command>, String> {
    let java = site.program("java", PACKAGES)?;
    let server = site.file("/usr/share/java/zookeeper.jar", PACKAGES)?;
    let logging = site.file("/usr/share/java/slf4j-simple.jar", PACKAGES)?;
    let data = site.data()?;
    // Short ticks make short sessions possible, and with them fast tests of nodes that die.
    let configuration = site.write(
        "zoo.cfg",
        &format!(
            "tickTime=500\nminSessionTimeout=1000\nmaxSessionTimeout=60000\nmaxClientCnxns=0\n\
             clientPort=2181\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n\
             4lw.commands.whitelist=*\ndataDir={}\n",
            data.display()
        ),
    )?;
    let mut command = Command::new(java);
    command
        .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .args([
            "-Dzookeeper.forceSync=no",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        ])
        .args(["-cp", &format!("{server}:{logging}")])
        .arg("org.apache.zookeeper.server.ZooKeeperServerMain")
        .arg(configuration);
    Ok(vec![command])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_serves_has_a_version() {
        let first = "Zookeeper version: 3.8.0-5a02a05ed, built on 2022-02-25 08:49 UTC\n";
        assert_eq!(
            version(&format!("{first}Latency\nMode: standalone\n")),
            Ok("3.8.0".to_owned())
        );
        assert!(version("This ZooKeeper instance is not currently serving requests\n").is_err());
        assert!(version(first).is_err());
    }
}
