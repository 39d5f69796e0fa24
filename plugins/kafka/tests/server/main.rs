//! Against Kafka processes of the tests' own, and that of this machine: bytes, groups, restarts, passwords, limits.
#![allow(clippy::unwrap_used, reason = "tests")]

mod flood;
mod groups;
mod kafka;
mod outage;
mod secured;
mod wire;
