//! The registry against name servers on loopback.
#![allow(clippy::unwrap_used, reason = "tests")]

mod zone;

mod limits;
mod lookups;
mod outages;
mod services;
mod watches;
