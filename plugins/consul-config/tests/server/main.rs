//! Against Consul processes of the tests' own: values, changes, restarts, cut connections, tokens and certificates.
#![allow(clippy::unwrap_used, reason = "tests")]

mod consul;
mod faults;
mod outage;
mod secured;
mod values;
