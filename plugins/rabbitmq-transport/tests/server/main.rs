//! Against RabbitMQ as a peer and as a process: peers that speak as Go Micro does, outages, limits.
#![allow(clippy::unwrap_used, reason = "tests")]

mod as_go;
mod limits;
mod outages;
mod shared;
