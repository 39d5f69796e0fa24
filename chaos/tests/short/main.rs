//! A short form of each run: strict about counts, and not about times, which tests beside it would spoil.
#![allow(clippy::unwrap_used, reason = "tests")]

mod run;
mod blackout;
mod outage;
mod processes;

use run::{number, output, printed, row};

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
async fn a_rolling_restart_over_grpc_fails_no_call_either() {
    let text = printed(
        "rolling --transport grpc --restarts 3 --calls 1500 --rate 750 --callers 8 --ignore-times",
        0,
    )
    .await;
    let row = row(&text, "rolling, over gRPC");
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
        "blackout",
        "blackout --registry mdns",
        "blackout --registry etcd --ttl 0",
    ] {
        assert_eq!(output(wrong).await.status.code(), Some(2), "{wrong}");
    }
    for run in ["", "rolling", "kill", "slow", "cold", "healthy", "blackout"] {
        let help = printed(&format!("{run} --help"), 0).await;
        assert!(help.contains("Examples:") && help.contains("chaos"), "{help}");
        assert!(!help.contains("sabotage"), "{help}");
    }
}
