//! Against RabbitMQ as a peer and as a process: bytes, restarts, users, certificates, limits.
#![allow(clippy::unwrap_used, reason = "tests")]

mod captured;
mod limits;
mod process;
mod restarts;
mod secured;
mod shared;
