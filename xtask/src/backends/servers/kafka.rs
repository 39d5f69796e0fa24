//! Kafka as a single node, from Maven's archives.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::backends::home::Home;
use crate::backends::site::Site;
use crate::backends::table::Backend;
use crate::backends::{probe, programs};
use crate::cargo;

const ADDRESS: &str = "127.0.0.1:9092";
const JAVA: &[&str] = &["default-jre-headless"];
const OPTIONS: &[&str] = &[
    "-Xms64m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
];

pub(in crate::backends) const BACKEND: Backend = Backend {
    name: "kafka",
    address: ADDRESS,
    needs: &[],
    services: &["kafka"],
    probe,
    install,
};

/// Asks for the versions of its protocol, which it answers once it takes requests. It never tells its own version.
fn probe(_: &Home) -> Result<String, String> {
    // Length, request 18 of version 0, correlation 1, client "ping".
    const REQUEST: &[u8] = b"\0\0\0\x0e\0\x12\0\0\0\0\0\x01\0\x04ping";
    let answer = probe::exchange(ADDRESS, REQUEST, |answer| answer.len() >= 10)?;
    if answer.get(4..10) == Some(&[0, 0, 0, 1, 0, 0]) {
        Ok(String::new())
    } else {
        Err("it does not answer in Kafka's protocol".to_owned())
    }
}

fn install(site: &Site<'_>) -> Result<Vec<Command>, String> {
    let java = site.program("java", JAVA)?;
    let archives = archives(site)?;
    let data = site.data()?;
    let configuration = site.write("server.properties", &properties(&data.join("log")))?;
    let class_path = format!("{}/*", archives.display());
    if !data.join("log/meta.properties").is_file() {
        let mut format = Command::new(&java);
        format
            .args(OPTIONS)
            .args(["-cp", &class_path, "kafka.tools.StorageTool", "format"])
            .args(["-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c"])
            .arg(&configuration);
        site.run("format its storage", &mut format)?;
    }
    let mut command = Command::new(java);
    command
        .args(OPTIONS)
        .args(["-cp", &class_path, "kafka.Kafka"])
        .arg(configuration);
    Ok(vec![command])
}

/// The folder of Kafka's archives, filled by Maven from the versions in `xtask/backends/kafka`.
fn archives(site: &Site<'_>) -> Result<PathBuf, String> {
    let versions = cargo::root().join("xtask/backends/kafka/pom.xml");
    let wanted = fs::read_to_string(&versions)
        .map_err(|error| format!("{} cannot be read: {error}", versions.display()))?;
    let folder = site.home.program("kafka");
    let mark = site.home.program("kafka.built");
    if fs::read_to_string(&mark).is_ok_and(|text| text == wanted) {
        return Ok(folder);
    }
    let maven = programs::find("mvn").map_or_else(|| site.program("mvn", &["maven"]), Ok)?;
    let _ = fs::remove_dir_all(&folder);
    let mut command = Command::new(maven);
    command
        .args([
            "-q",
            "-B",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
        ])
        .arg(format!("-DoutputDirectory={}", folder.display()))
        .arg("-f")
        .arg(&versions);
    site.run("fetch its archives with Maven", &mut command)?;
    fs::write(&mark, wanted).map_err(|error| format!("{} cannot be written: {error}", mark.display()))?;
    Ok(folder)
}

/// One node that is broker and controller, small, and that lets a first consumer in at once.
fn properties(log: &Path) -> String {
    format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:9093\n\
         listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:9092\ncontroller.listener.names=CONTROLLER\n\
         inter.broker.listener.name=PLAINTEXT\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         log.dirs={}\nnum.partitions=1\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=4\ngroup.initial.rebalance.delay.ms=0\n\
         auto.create.topics.enable=true\nlog.cleaner.dedupe.buffer.size=16777216\n",
        log.display()
    )
}
