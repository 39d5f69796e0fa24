//! Against ZooKeeper as a peer and as a process: bytes, sessions, restarts, users, certificates, and servers that speak
//! nonsense.
#![allow(clippy::unwrap_used, reason = "tests")]

mod fake;
mod outage;
mod process;
mod raw;
mod secured;
mod sessions;
mod watches;
mod wire;
mod zookeeper;
