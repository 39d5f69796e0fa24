//! Against etcd processes of the tests' own: values, changes, restarts, cut connections, passwords and certificates.
#![allow(clippy::unwrap_used, reason = "tests")]

mod changes;
mod etcd;
mod outage;
mod secured;
mod values;
