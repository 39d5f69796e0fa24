//! Against etcd processes of the tests' own: bytes, restarts, cut connections, passwords and certificates.
#![allow(clippy::unwrap_used, reason = "tests")]

mod etcd;
mod leases;
mod outage;
mod secured;
mod watches;
mod wire;
