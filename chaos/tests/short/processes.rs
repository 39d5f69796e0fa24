//! No process stays behind, however a run ends.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use servers::Kind;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::run::{PATIENCE, chaos};

#[tokio::test]
async fn an_interrupt_ends_all_processes_in_order() {
    let mut run = chaos("rolling")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let nodes = until_children_run(&run, 3).await;
    let id = run.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().await.unwrap();
    assert!(sent.success());
    let ended = timeout(PATIENCE, run.wait())
        .await
        .expect("the interrupt was ignored");
    assert_eq!(ended.unwrap().code(), Some(1));
    until_all_end(&nodes).await;
}

#[tokio::test]
async fn no_process_outlives_a_run_that_was_killed() {
    // It cannot clear up after itself.
    let place = tempfile::tempdir().unwrap();
    let mut run = chaos("rolling")
        .env("TMPDIR", place.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let nodes = until_children_run(&run, 3).await;
    run.kill().await.unwrap();
    until_all_end(&nodes).await;
}

#[tokio::test]
async fn no_server_outlives_a_run_that_was_killed() {
    if !servers::is_installed_or_skip(Kind::Etcd) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let mut run = chaos("blackout --registry etcd")
        .env("TMPDIR", place.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The nodes, and the one that keeps the server.
    let mut processes = until_children_run(&run, 4).await;
    let servers: Vec<_> = processes.iter().flat_map(|process| children(*process)).collect();
    assert_eq!(servers.len(), 1);
    processes.extend(servers);
    run.kill().await.unwrap();
    until_all_end(&processes).await;
}

async fn until_children_run(run: &Child, count: usize) -> Vec<u32> {
    let id = run.id().unwrap();
    let all_run = async {
        loop {
            let nodes = children(id);
            if nodes.len() == count {
                return nodes;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, all_run)
        .await
        .expect("the run did not start its processes")
}

async fn until_all_end(processes: &[u32]) {
    let all_end = async {
        while processes.iter().any(|process| is_running(*process)) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, all_end)
        .await
        .expect("a node stays when the run is gone");
}

fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    processes
        .filter(|process| status(*process).is_some_and(|status| status.1 == parent))
        .collect()
}

fn is_running(process: u32) -> bool {
    status(process).is_some_and(|(state, _)| state != "Z")
}

/// A process's state and its parent's id, from `/proc/<id>/stat`, where they follow the name in brackets.
fn status(process: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}
