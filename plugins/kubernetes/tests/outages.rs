//! What registrations and watches live through while the API server is away.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "the other tests use more of what they share")]

#[path = "server/cluster.rs"]
mod cluster;
#[path = "server/own.rs"]
mod own;

micro_testkit::registry_outages!(cluster::address, |address| own::OwnPod::connect(move |config| {
    config.server = format!("https://{address}");
}));
