//! Several processes on one machine, one of which is killed.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use micro_core::registry::{Action, RegisterOptions, Registry};
use micro_gossip::{GossipConfig, GossipRegistry};

use crate::cluster::{member, record, told, until};

/// Where a child learns its seed and the name of its node.
const SEED: &str = "MICRO_GOSSIP_TEST_SEED";
const NODE: &str = "MICRO_GOSSIP_TEST_NODE";

/// What a child does; without its variables it does nothing.
#[tokio::test]
async fn child() {
    let (Ok(seed), Ok(node)) = (std::env::var(SEED), std::env::var(NODE)) else {
        return;
    };
    let registry = GossipRegistry::connect(GossipConfig::from_addresses(&[seed]).unwrap())
        .await
        .unwrap();
    let options = RegisterOptions {
        ttl: Some(Duration::from_secs(60)),
    };
    loop {
        registry.register(&record(&node), options).await.unwrap();
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
}

/// A child that does not outlive the test.
struct Process(Child);

impl Process {
    fn start(seed: &str, node: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "processes::child", "--nocapture"])
            .env(SEED, seed)
            .env(NODE, node);
        Self(
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn processes_of_one_machine_meet_and_a_killed_one_is_gone() {
    let registry = GossipRegistry::connect(GossipConfig {
        listen: Some(([127, 0, 0, 1], 0).into()),
        ..GossipConfig::default()
    });
    let registry = registry.await.unwrap();
    let seed = registry.local_address().to_string();
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    let began = Instant::now();
    let mut children = ["one", "two", "three"]
        .map(|node| Process::start(&seed, node))
        .into_iter();
    for _ in 0..3 {
        assert_eq!(told(&mut watcher).await.0, Action::Create);
    }
    println!("three processes were there after {:?}", began.elapsed());
    let beside = member(&[registry.local_address()]).await;
    until(&beside, &["one", "two", "three"]).await;
    let began = Instant::now();
    drop(children.next());
    assert_eq!(told(&mut watcher).await, (Action::Delete, "one".to_owned()));
    println!(
        "a killed process was gone after {:?}, with the default failure timeout of 5 s",
        began.elapsed()
    );
    until(&beside, &["two", "three"]).await;
    drop(children);
}
