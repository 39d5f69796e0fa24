//! What needs a Consul of its own, and faults that a real one cannot be made to show.
#![allow(clippy::unwrap_used, reason = "tests")]

mod checks;
mod consul;
mod fake;
mod faults;
mod outage;
mod recorder;
mod secured;
mod wire;
