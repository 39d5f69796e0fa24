//! The transport keeps the contract of transports, as far as datagrams can.

use micro_testkit::transport::TransportTraits;
use micro_udp::{UdpConfig, UdpTransport};

/// What datagrams cannot do.
fn traits(max_message: usize) -> TransportTraits {
    TransportTraits {
        max_message,
        streams: false,
        half_close: false,
        under_way: None,
        ..TransportTraits::default()
    }
}

mod small {
    use super::*;

    micro_testkit::transport_conformance!(
        || async { Ok::<_, micro_core::Error>(UdpTransport::new(UdpConfig::default())) },
        traits(1024)
    );
}

mod large {
    use super::*;

    micro_testkit::transport_conformance!(
        || async {
            Ok::<_, micro_core::Error>(UdpTransport::new(UdpConfig {
                datagram_size: 65_507,
                ..UdpConfig::default()
            }))
        },
        traits(65_000)
    );
}
