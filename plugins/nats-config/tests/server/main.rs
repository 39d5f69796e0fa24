//! Against real servers of NATS, each test with its own.
#![allow(clippy::unwrap_used, reason = "tests")]

mod limits;
mod nats;
mod outages;
mod reading;
mod secured;
mod watching;
