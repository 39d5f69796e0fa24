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

/// As Go Micro has it, without times to live; and with the options that look at more than labels and annotations.
mod with_other_options {
    use micro_kubernetes::EndpointSlices;
    use micro_testkit::registry::RegistryTraits;

    micro_testkit::registry_conformance!(
        || crate::own::OwnPod::connect(|config| {
            config.expire = false;
            config.ready_only = true;
            config.endpoint_slices = Some(EndpointSlices::default());
        }),
        RegistryTraits {
            lapses: false,
            max_record: 200 * 1024,
            many_nodes: 50,
            ..RegistryTraits::default()
        },
    );
}
