//! A process that is killed.

use std::process::Stdio;
use std::time::Duration;

use micro_core::registry::{Action, Registry};
use micro_zookeeper::ZookeeperConfig;
use tokio::process::Command;

use crate::zookeeper::{LONG, connect, greeter, next, shared, shared_address};

const PATH: &str = "MICRO_ZOOKEEPER_TEST_PATH";

fn config(path: String) -> ZookeeperConfig {
    ZookeeperConfig {
        servers: vec![shared_address()],
        session_timeout: Duration::from_secs(2),
        path,
        ..ZookeeperConfig::default()
    }
}

/// The process itself; as a test it does nothing.
#[tokio::test]
async fn the_process_that_is_killed() {
    let Ok(path) = std::env::var(PATH) else { return };
    let registry = connect(config(path)).await;
    registry.register(&greeter("killed"), LONG).await.unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn the_node_of_a_killed_process_is_gone_after_the_sessions_time() {
    let path = shared().path;
    let registry = connect(config(path.clone())).await;
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "process::the_process_that_is_killed"])
        .env(PATH, path)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    assert_eq!(next(&mut watcher).await.action, Action::Create);
    process.kill().await.unwrap();
    let killed = tokio::time::Instant::now();
    let told = next(&mut watcher).await;
    assert_eq!((told.action, told.service), (Action::Delete, greeter("killed")));
    println!("gone {:?} after its process was killed", killed.elapsed());
}
