//! `cargo xtask test`: the tests, exactly as the README runs them.

use crate::{backends, cargo, steps};

pub(crate) const HELP: &str = "\
Run all tests of the workspace

Usage: cargo xtask test [arguments]

Has the servers that the tests talk to running, as `cargo xtask backends up` would (etcd, Consul, ZooKeeper, Kubernetes'
API server, NATS, RabbitMQ, Redis, Kafka, NSQ and toxiproxy), and then runs `cargo test --workspace` once. The servers go on
running; `cargo xtask backends down` stops them.

A server that cannot be had is a warning, and an error where CI or MICRO_REQUIRE_BACKENDS is set.

Arguments are passed on as they are.

Examples:
  cargo xtask test --release
  cargo xtask test -- --nocapture a_part_of_a_name
";

/// Prepares what the tests need and runs them.
///
/// # Errors
///
/// Fails if the preparation or any test fails.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    prepare()?;
    let all = ["test", "--workspace"]
        .into_iter()
        .chain(arguments.iter().map(String::as_str));
    let mut steps = steps::Steps::new();
    steps.step("cargo test --workspace", || {
        steps::shown(&mut cargo::command(all))
    });
    steps.finish()
}

/// The servers that tests of the workspace talk to.
const BACKENDS: &[&str] = &[
    "etcd",
    "consul",
    "zookeeper",
    "kubernetes",
    "toxiproxy",
    "nats",
    "rabbitmq",
    "redis",
    "kafka",
    "nsq",
];

/// Prepares the machine for the tests: whatever must exist before `cargo test` goes here.
///
/// What is added has to work on a fresh machine, be quick when it was done before, and be optional for somebody who runs
/// a plain `cargo test --workspace`.
fn prepare() -> Result<(), String> {
    backends::prepare(BACKENDS)
}
