//! Against Redis processes of the tests' own: restarts, cut connections, members that die, passwords and certificates.
#![allow(clippy::unwrap_used, reason = "tests")]

mod outage;
mod queues;
mod redis;
mod secured;
mod upkeep;
mod wire;
