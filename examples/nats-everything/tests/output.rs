//! The two programs find, call and tell each other over a NATS of the test's own, and print what they did.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use servers::Kind;

/// Killed when the test ends, however it ends.
struct Warehouse(Child);

impl Drop for Warehouse {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn calls_and_events_go_over_nats_alone() {
    let Some(nats) = servers::start_or_skip(Kind::Nats).await else {
        return;
    };
    let address = nats.address().to_string();
    let child = Command::new(env!("CARGO_BIN_EXE_warehouse"))
        .env("MICRO_NATS_ADDRESS", &address)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut warehouse = Warehouse(child.unwrap());
    let log = BufReader::new(warehouse.0.stderr.take().unwrap());
    let mut log = log.lines().map_while(Result::ok);
    assert!(log.any(|line| line.contains("registering node warehouse")));
    // Nobody else reads it, and a full pipe would stop the program.
    std::thread::spawn(move || log.for_each(drop));

    let run = Command::new(env!("CARGO_BIN_EXE_shop"))
        .arg("--profile=nats")
        .env("MICRO_NATS_ADDRESS", &address)
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(
        String::from_utf8_lossy(&run.stdout),
        "sold order 1, 6 pieces are left\nsold order 2, 2 pieces are left\n\
         order 3 was not sold: only 2 pieces are left\n"
    );
    let heard = BufReader::new(warehouse.0.stdout.take().unwrap());
    let heard: Vec<String> = heard.lines().take(2).map(Result::unwrap).collect();
    assert_eq!(heard, ["heard of order 1", "heard of order 2"]);
}
