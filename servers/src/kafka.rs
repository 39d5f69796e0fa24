//! Kafka, a single node that is broker and controller.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::process::Site;
use crate::{Kind, programs};

/// For Java.
const OPTIONS: &str = "-Xms64m -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
                       -Dorg.slf4j.simpleLogger.defaultLogLevel=error";
/// Properties that name several things, to which those of the arguments are added.
const LISTS: [&str; 3] = [
    "listeners=",
    "advertised.listeners=",
    "listener.security.protocol.map=",
];

/// Takes arguments for Java, which begin with a dash, and further properties. Listeners come beside the usual one,
/// which has neither encryption nor passwords.
pub(crate) fn command(site: &Site<'_>, arguments: &[String]) -> Result<Command> {
    programs::of(Kind::Kafka)?;
    let [clients, controller, ..] = site.ports;
    let mut lists = [
        format!("PLAINTEXT://127.0.0.1:{clients},CONTROLLER://127.0.0.1:{controller}"),
        format!("PLAINTEXT://127.0.0.1:{clients}"),
        "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned(),
    ];
    let (for_java, mut lines): (Vec<String>, Vec<String>) = arguments
        .iter()
        .cloned()
        .partition(|argument| argument.starts_with('-'));
    lines.retain(|line| {
        let found = LISTS.iter().zip(&mut lists);
        let mut found = found.filter_map(|(name, list)| Some((list, line.strip_prefix(name)?)));
        match found.next() {
            Some((list, more)) => {
                list.push(',');
                list.push_str(more);
                false
            }
            None => true,
        }
    });
    let lists = LISTS
        .iter()
        .zip(&lists)
        .map(|(name, list)| format!("{name}{list}"));
    let lists: Vec<String> = lists.collect();
    let configuration = site.data.join("server.properties");
    let log = site.data.join("kafka");
    std::fs::write(
        &configuration,
        format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n{}\n\
             controller.listener.names=CONTROLLER\ninter.broker.listener.name=PLAINTEXT\nlog.dirs={}\n\
             num.partitions=1\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=4\ngroup.initial.rebalance.delay.ms=0\n\
             log.cleaner.dedupe.buffer.size=16777216\n{}\n",
            lists.join("\n"),
            log.display(),
            lines.join("\n"),
        ),
    )?;
    let java = format!(
        "java {OPTIONS} {} -cp '{}/*'",
        for_java.join(" "),
        programs::kafka().display()
    );
    // Its storage is formatted once, before it starts for the first time.
    let script = format!(
        "test -f '{log}/meta.properties' || \
         {java} kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qg -c '{configuration}' || exit 1\n\
         exec {java} kafka.Kafka '{configuration}'",
        log = log.display(),
        configuration = configuration.display(),
    );
    let mut command = Command::new("sh");
    command.arg("-c").arg(script);
    Ok(command)
}

/// Asks for the versions of its protocol, which it answers once it takes requests.
pub(crate) async fn probe(address: SocketAddr) -> Result<()> {
    // Length, request 18 of version 0, correlation 1, client "ping".
    const REQUEST: &[u8] = b"\0\0\0\x0e\0\x12\0\0\0\0\0\x01\0\x04ping";
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = [0; 10];
    timeout(Duration::from_secs(2), stream.read_exact(&mut answer)).await??;
    ensure!(
        answer[4..] == [0, 0, 0, 1, 0, 0],
        "it does not answer in Kafka's protocol"
    );
    Ok(())
}
