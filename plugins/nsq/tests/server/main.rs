//! Against nsqd processes of the tests' own, and servers that misbehave: restarts, cut connections, directories, secrets
//! and certificates.
#![allow(clippy::unwrap_used, reason = "tests")]

mod directories;
mod fake;
mod nsq;
mod outage;
mod queues;
mod refusals;
mod secured;
mod wire;
