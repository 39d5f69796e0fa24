//! The programs print what went where.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A topic of this run's and test's own, so that none hears of another's orders.
fn topic(test: &str) -> String {
    format!("--topic=orders.{test}.{}", std::process::id())
}

fn count(text: &str, line: &str) -> usize {
    text.lines().filter(|found| *found == line).count()
}

#[test]
fn each_order_goes_to_the_auditor_and_to_one_that_bills() {
    let run = Command::new(env!("CARGO_BIN_EXE_pubsub")).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let printed = String::from_utf8(run.stdout).unwrap();
    for order in 1..=4 {
        assert_eq!(
            count(&printed, &format!("shop       -> order {order}")),
            1,
            "{printed}"
        );
        assert_eq!(
            count(&printed, &format!("auditor    <- order {order}")),
            1,
            "{printed}"
        );
        let billed =
            ["billing 1", "billing 2"].map(|name| count(&printed, &format!("{name:<10} <- order {order}")));
        assert_eq!(billed.iter().sum::<usize>(), 1, "{printed}");
    }
}

/// Killed when the test ends, however it ends.
struct Subscriber(Child);

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A subscriber that has subscribed.
fn subscriber(role: &str) -> (Subscriber, BufReader<ChildStdout>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_subscriber"))
        .args([
            role,
            &topic("processes"),
            "--registry_address=lo",
            "--server_address=127.0.0.1:0",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let log = BufReader::new(child.stderr.take().unwrap());
    let subscriber = Subscriber(child);
    let is_subscribed = log
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("registering node shop-subscriber"));
    assert!(is_subscribed);
    (subscriber, output)
}

#[test]
fn processes_hear_of_what_another_publishes() {
    let (auditor, heard) = subscriber("auditor");
    let run = Command::new(env!("CARGO_BIN_EXE_publisher"))
        .args(["3", &topic("processes"), "--registry_address=lo"])
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(
        String::from_utf8_lossy(&run.stdout),
        "shop -> order 1\nshop -> order 2\nshop -> order 3\n"
    );
    let name = format!("auditor {}", auditor.0.id());
    let lines: Vec<String> = heard.lines().take(3).map(Result::unwrap).collect();
    let wanted = [1, 2, 3].map(|order| format!("{name:<10} <- order {order}"));
    assert_eq!(lines, wanted);
}
