//! The registry's contract, held to by a real API server of Kubernetes.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "the other tests use more of what they share")]

use std::time::Duration;

use micro_testkit::registry::RegistryTraits;

#[path = "server/cluster.rs"]
mod cluster;
#[path = "server/own.rs"]
mod own;

micro_testkit::registry_conformance!(
    || own::OwnPod::connect(|_| {}),
    RegistryTraits {
        // Nodes lapse by the clock, to the millisecond.
        lapse_delay: Duration::from_secs(1),
        // The annotations of a pod have at most 256 KiB together.
        max_record: 200 * 1024,
        ..RegistryTraits::default()
    },
);
