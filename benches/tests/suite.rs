//! The suite as its user starts it: it measures, it explains what is wrong, and it leaves no process behind.
#![allow(
    clippy::unwrap_used,
    reason = "clippy does not know that functions beside tests are tests, too"
)]

use std::fs;
use std::process::{Output, Stdio};
use std::time::Duration;

use servers::Kind;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// Far longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn suite(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_benches"));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn output(arguments: &[&str]) -> Output {
    timeout(PATIENCE, suite(arguments).output())
        .await
        .expect("the suite hangs")
        .unwrap()
}

#[tokio::test]
async fn a_short_run_prints_a_table_for_each_measurement() {
    let quick = [
        "--rounds",
        "1",
        "--seconds",
        "0.02",
        "--warm-up",
        "0.01",
        "--sizes",
        "16",
        "--callers",
        "2",
    ];
    let what = ["--calls", "--streams", "--idle", "--connections", "3"];
    let output = output(&[&quick[..], &what[..]].concat()).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.starts_with("Measured 2"), "{text}");
    let rows = text
        .lines()
        .filter(|line| line.starts_with('|') && !line.starts_with("|-"));
    let peers: Vec<&str> = rows
        .filter_map(|row| row.split('|').map(str::trim).find(|field| is_peer(field)))
        .collect();
    assert_eq!(
        peers.join(" "),
        "peer hyper tonic micro peer tonic micro tonic micro peer hyper tonic micro",
        "{text}"
    );
}

fn is_peer(field: &str) -> bool {
    ["peer", "hyper", "tonic", "micro"].contains(&field)
}

/// The rows of a short run of calls: size, callers, peer, and the rest.
async fn called(peers: &str, sizes: &str, further: &[&str]) -> Vec<Vec<String>> {
    let quick = [
        "--rounds",
        "1",
        "--seconds",
        "0.02",
        "--warm-up",
        "0.01",
        "--callers",
        "2",
    ];
    let what = ["--calls", "--peers", peers, "--sizes", sizes];
    let output = output(&[&quick[..], &what[..], further].concat()).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let fields = |row: &str| row.split(" | ").map(|field| field.trim().to_owned()).collect();
    rows.skip(1).map(fields).collect()
}

fn assert_measured(row: &[String], peer: &str) {
    assert_eq!(row[2], peer, "{row:?}");
    let rate: f64 = row[3].replace(',', "").parse().unwrap();
    assert!(rate > 0.0, "{row:?}");
}

#[tokio::test]
async fn what_a_datagram_does_not_hold_is_left_out() {
    let rows = called("udp,udp-raw", "1KiB,64KiB", &[]).await;
    assert_measured(&rows[0], "udp");
    assert_measured(&rows[1], "udp-raw");
    for row in &rows[2..] {
        assert!(row[3..].iter().all(|field| field == "–"), "{row:?}");
    }
    assert_eq!(rows.len(), 4);
}

#[tokio::test]
async fn calls_go_over_a_nats_of_their_own() {
    if !servers::is_installed_or_skip(Kind::Nats) {
        return;
    }
    let rows = called("nats,nats-raw", "16,64KiB", &[]).await;
    for (row, peer) in rows.iter().zip(["nats", "nats-raw", "nats", "nats-raw"]) {
        assert_measured(row, peer);
    }
    assert_eq!(rows.len(), 4);
}

#[tokio::test]
async fn calls_go_over_a_rabbitmq_that_is_named() {
    let Some(server) = servers::start_or_skip(Kind::Rabbitmq).await else {
        return;
    };
    let named = format!("--rabbitmq={}", server.address());
    let rows = called("rabbitmq,rabbitmq-raw", "16,64KiB", &[&named]).await;
    for (row, peer) in rows
        .iter()
        .zip(["rabbitmq", "rabbitmq-raw", "rabbitmq", "rabbitmq-raw"])
    {
        assert_measured(row, peer);
    }
    assert_eq!(rows.len(), 4);
}

#[tokio::test]
async fn an_unknown_peer_is_refused_with_those_that_exist() {
    let output = output(&["--peers", "hypr"]).await;
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(text.contains("'hypr'") && text.contains("hyper, tonic"), "{text}");
}

#[tokio::test]
async fn an_interrupt_ends_all_processes_in_order() {
    let mut suite = suite(&["--rounds", "1000"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let children = until_all_children_run(&suite).await;
    send("-INT", &suite).await;
    let output = timeout(PATIENCE, suite.wait())
        .await
        .expect("the interrupt was ignored")
        .unwrap();
    assert_eq!(output.code(), Some(1));
    for child in children {
        assert!(!is_running(child), "process {child} was left behind");
    }
}

#[tokio::test]
async fn no_process_outlives_a_suite_that_was_killed() {
    let mut suite = suite(&["--rounds", "1000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let children = until_all_children_run(&suite).await;
    suite.kill().await.unwrap();
    let all_end = async {
        while children.iter().any(|child| is_running(*child)) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, all_end)
        .await
        .expect("a process stays when the suite is gone");
}

/// The ids of the suite's six processes: a server and a load process for each of three peers.
async fn until_all_children_run(suite: &Child) -> Vec<u32> {
    let id = suite.id().unwrap();
    let all_run = async {
        loop {
            let children = children(id);
            if children.len() == 6 {
                return children;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, all_run)
        .await
        .expect("the suite did not start its processes")
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

async fn send(signal: &str, process: &Child) {
    let id = process.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args([signal, &id])
            .status()
            .await
            .unwrap()
            .success()
    );
}
