//! A short form of each run: strict about counts, and not about times, which tests beside it would spoil.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// Far longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn chaos(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
    command
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn output(arguments: &str) -> Output {
    timeout(PATIENCE, chaos(arguments).output())
        .await
        .expect("the run hangs")
        .unwrap()
}

/// What a run printed that is to end with this code.
async fn printed(arguments: &str, code: i32) -> String {
    let output = output(arguments).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}\n{errors}");
    text
}

/// A row of the table, by its name: calls, failed, retried, handler runs, then the times.
fn row(text: &str, name: &str) -> Vec<String> {
    let rows = text.lines().map(|line| {
        let fields = line.trim_matches('|').split('|');
        fields.map(|field| field.trim().to_owned()).collect::<Vec<_>>()
    });
    let mut found = rows.filter(|row| row[0] == name);
    found
        .next()
        .unwrap_or_else(|| panic!("no row {name:?} in\n{text}"))[1..]
        .to_vec()
}

fn number(field: &str) -> u64 {
    field.replace(',', "").parse().unwrap()
}

#[tokio::test]
async fn a_rolling_restart_fails_no_call_and_runs_each_once() {
    let text = printed(
        "rolling --restarts 3 --calls 1500 --rate 750 --callers 8 --ignore-times",
        0,
    )
    .await;
    let row = row(&text, "rolling");
    assert!(number(&row[0]) >= 1500, "{text}");
    assert_eq!((row[1].as_str(), &row[3]), ("0", &row[0]), "{text}");
    assert!(text.contains("3 of 3 did"), "{text}");
}

#[tokio::test]
async fn kills_fail_no_call_that_may_be_repeated() {
    let text = printed(
        "kill --kills 2 --calls 1500 --rate 750 --callers 8 --ignore-times",
        0,
    )
    .await;
    let row = row(&text, "kill, idempotent");
    assert!(number(&row[0]) >= 1500, "{text}");
    assert_eq!(row[1], "0", "{text}");
}

#[tokio::test]
async fn kills_run_no_call_twice_that_must_not_be_repeated() {
    let text = printed(
        "kill --non-idempotent --kills 2 --calls 1500 --rate 750 --callers 8 --ignore-times",
        0,
    )
    .await;
    let row = row(&text, "kill, non-idempotent");
    assert!(number(&row[1]) <= 16, "{text}");
    assert!(number(&row[3]) <= number(&row[0]), "{text}");
}

#[tokio::test]
async fn the_first_calls_of_fresh_processes_succeed() {
    let text = printed("cold --rounds 5 --calls 16 --ignore-times", 0).await;
    let row = row(&text, "cold");
    assert_eq!(
        (row[0].as_str(), row[1].as_str(), row[3].as_str()),
        ("80", "0", "80"),
        "{text}"
    );
}

#[tokio::test]
async fn no_event_is_lost_when_a_subscriber_is_restarted() {
    let text = printed("broker --events 1000 --rate 500 --publishers 2 --ignore-times", 0).await;
    let shared = row(&text, "two that share a queue");
    assert_eq!((shared[0].as_str(), shared[1].as_str()), ("1,000", "0"), "{text}");
    assert!(number(&shared[3]) >= 1000, "{text}");
    assert!(number(&row(&text, "one without a queue")[3]) >= 1000, "{text}");
}

#[tokio::test]
async fn events_that_are_rejected_break_the_promise() {
    let text = printed(
        "broker --events 200 --rate 500 --sabotage errors --ignore-times",
        1,
    )
    .await;
    assert!(
        text.contains("broken  nothing is lost for the queue: 2 of 200 lost"),
        "{text}"
    );
}

#[tokio::test]
async fn healthy_calls_are_all_answered() {
    let text = printed("healthy --calls 2000 --callers 16 --ignore-times", 0).await;
    let row = row(&text, "healthy");
    assert_eq!(row[..4], ["2,000", "0", "0", "2,000"], "{text}");
}

#[tokio::test]
async fn a_slow_node_fails_no_call() {
    let text = printed("slow --seconds 1 --rate 300 --ignore-times", 0).await;
    for name in [
        "p2c, all nodes healthy",
        "p2c, one node slow",
        "random, one node slow",
    ] {
        assert_eq!(row(&text, name)[1], "0", "{text}");
    }
    assert!(text.contains("ignored with p2c and one slow node"), "{text}");
}

#[tokio::test]
async fn a_broken_promise_is_told_and_ends_with_1() {
    let text = printed(
        "healthy --calls 500 --callers 4 --ignore-times --sabotage errors",
        1,
    )
    .await;
    assert!(text.contains("broken  no call fails: 5 of 500 failed"), "{text}");
    assert!(text.contains("failed 5: sabotage"), "{text}");
    let text = printed(
        "healthy --calls 500 --callers 4 --ignore-times --sabotage doubles",
        1,
    )
    .await;
    assert!(text.contains("0 never, 5 more than once"), "{text}");
    assert!(text.contains("kept    no call fails"), "{text}");
}

#[tokio::test]
async fn wrong_arguments_end_with_2_and_help_with_0() {
    for wrong in [
        "",
        "rolling --nodes 1",
        "kill --idempotent --non-idempotent",
        "melt",
    ] {
        assert_eq!(output(wrong).await.status.code(), Some(2), "{wrong}");
    }
    for run in ["", "rolling", "kill", "slow", "cold", "healthy"] {
        let help = printed(&format!("{run} --help"), 0).await;
        assert!(help.contains("Examples:") && help.contains("chaos"), "{help}");
        assert!(!help.contains("sabotage"), "{help}");
    }
}

#[tokio::test]
async fn an_interrupt_ends_all_processes_in_order() {
    let mut run = chaos("rolling")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let nodes = until_all_nodes_run(&run).await;
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
    let nodes = until_all_nodes_run(&run).await;
    run.kill().await.unwrap();
    until_all_end(&nodes).await;
}

async fn until_all_nodes_run(run: &Child) -> Vec<u32> {
    let id = run.id().unwrap();
    let all_run = async {
        loop {
            let nodes = children(id);
            if nodes.len() == 3 {
                return nodes;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, all_run)
        .await
        .expect("the run did not start its nodes")
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
