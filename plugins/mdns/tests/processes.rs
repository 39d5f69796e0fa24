//! Several processes on one machine, one of which is killed.
#![allow(clippy::unwrap_used, reason = "the helpers of tests, too")]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use micro_core::registry::{Action, Node, RegisterOptions, Registry, ServiceRecord};
use micro_mdns::{Interfaces, MdnsConfig, MdnsRegistry};
use tokio::net::UdpSocket;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);
/// Where a child learns its port and the name of its node.
const PORT: &str = "MICRO_MDNS_TEST_PORT";
const NODE: &str = "MICRO_MDNS_TEST_NODE";

fn config(port: u16) -> MdnsConfig {
    MdnsConfig {
        interfaces: Interfaces::Only(vec!["127.0.0.1".into()]),
        port,
        ..MdnsConfig::default()
    }
}

/// What a child does; without its variables it does nothing.
#[tokio::test]
async fn child() {
    let (Ok(port), Ok(node)) = (std::env::var(PORT), std::env::var(NODE)) else {
        return;
    };
    let registry = MdnsRegistry::connect(config(port.parse().unwrap()))
        .await
        .unwrap();
    let record = ServiceRecord::new("greeter", "1").with_nodes(vec![Node::new(node, "127.0.0.1:9101")]);
    let options = RegisterOptions {
        ttl: Some(Duration::from_secs(2)),
    };
    loop {
        registry.register(&record, options).await.unwrap();
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
}

/// A child that does not outlive the test.
struct Process(Child);

impl Process {
    fn start(port: u16, node: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "child", "--nocapture"])
            .env(PORT, port.to_string())
            .env(NODE, node);
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn processes_of_one_machine_meet_and_a_killed_one_is_gone_after_its_ttl() {
    // Held, so that no other test is given the port.
    let reserved = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = reserved.local_addr().unwrap().port();
    let registry = MdnsRegistry::connect(config(port)).await.unwrap();
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    let mut children: Vec<Process> = ["one", "two", "three"]
        .iter()
        .map(|node| Process::start(port, node))
        .collect();
    for _ in &children {
        let change = timeout(PATIENCE, watcher.next()).await.unwrap().unwrap();
        assert_eq!(change.action, Action::Create);
    }
    let found = timeout(PATIENCE, async {
        loop {
            let found = registry.get_service("greeter").await;
            if let Some(record) = found.ok().filter(|found| found[0].nodes.len() == 3) {
                return record;
            }
        }
    });
    assert_eq!(found.await.unwrap().len(), 1);
    let began = Instant::now();
    drop(children.remove(0));
    let gone = timeout(PATIENCE, watcher.next()).await.unwrap().unwrap();
    assert_eq!(
        (gone.action, gone.service.nodes[0].id.as_str()),
        (Action::Delete, "one")
    );
    println!(
        "a killed process with a ttl of 2 s was gone after {:?}",
        began.elapsed()
    );
    assert_eq!(registry.get_service("greeter").await.unwrap()[0].nodes.len(), 2);
}
