//! Signals end a service. Each test runs itself once more as the process that is told to stop.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use micro_core::handler::handler_fn;
use micro_core::handler::raw_endpoint;
use micro_core::{Request, Service};

/// Says which part a process plays.
const PART: &str = "SIGNALS_TEST_PART";

/// A process of this test in another part; killed when the test fails.
struct Other {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn start(test: &str, part: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(PART, part)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn wait_for(&mut self, line: &str) {
        let mut said = Vec::new();
        for heard in self.lines.by_ref() {
            let heard = heard.unwrap();
            if heard.ends_with(line) {
                return;
            }
            said.push(heard);
        }
        panic!("{line:?} is not among {said:?}");
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    fn end(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// Runs a service that says how far it is. With `busy`, a call runs in it that never ends.
async fn serve(busy: bool) {
    let stuck = raw_endpoint(
        "Stuck.Call",
        handler_fn(|_| async {
            say("busy");
            std::future::pending().await
        }),
    );
    let mut builder = Service::builder("stuck").address("127.0.0.1:0").handler(stuck);
    builder.options_mut().notice = Duration::from_millis(1);
    builder.options_mut().grace = Duration::from_secs(600);
    let service = builder
        .after_start(|| async {
            say("started");
            Ok(())
        })
        .before_stop(|| async {
            say("stopping");
            Ok(())
        })
        .after_stop(|| async {
            say("stopped");
            Ok(())
        })
        .build()
        .unwrap();
    let client = service.client().clone();
    let mut caller = tokio::task::JoinSet::new();
    let call = async move {
        // Until the service is registered.
        loop {
            let _ = client.request(Request::new("stuck", "Stuck.Call", "")).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if busy {
        caller.spawn(call);
    }
    service.run().await.unwrap();
    drop(caller);
    say("over");
}

#[tokio::test]
async fn each_signal_stops_a_service_well() {
    if std::env::var(PART).is_ok() {
        return serve(false).await;
    }
    for signal in ["-TERM", "-INT", "-QUIT"] {
        let mut other = Other::start("each_signal_stops_a_service_well", "served");
        other.wait_for("started");
        other.signal(signal);
        for line in ["stopping", "stopped", "over"] {
            other.wait_for(line);
        }
        assert!(other.end().success());
    }
}

#[tokio::test]
async fn a_second_signal_cuts_off_what_still_runs() {
    if std::env::var(PART).is_ok() {
        return serve(true).await;
    }
    let mut other = Other::start("a_second_signal_cuts_off_what_still_runs", "served");
    other.wait_for("busy");
    other.signal("-TERM");
    other.wait_for("stopping");
    other.signal("-TERM");
    other.wait_for("over");
    assert!(other.end().success());
}

#[tokio::test]
async fn a_signal_ends_a_start_that_does_not_come_to_its_end() {
    if std::env::var(PART).is_ok() {
        let slow = Service::builder("slow")
            .address("127.0.0.1:0")
            .before_start(|| async {
                say("starting");
                std::future::pending().await
            });
        slow.build().unwrap().run().await.unwrap();
        return say("over");
    }
    let mut other = Other::start("a_signal_ends_a_start_that_does_not_come_to_its_end", "served");
    other.wait_for("starting");
    other.signal("-TERM");
    other.wait_for("over");
    assert!(other.end().success());
}
