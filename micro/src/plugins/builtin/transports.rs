//! How the transports of plugins are made of flags.

use std::sync::Arc;

use micro_core::{Result, Transport};

use super::super::{PluginArguments, wrong};
use super::unused_addresses;

#[cfg(feature = "tcp")]
pub(super) fn tcp(arguments: PluginArguments) -> Result<Arc<dyn Transport>> {
    let mut config = micro_tcp::TcpConfig {
        tls: arguments.tls,
        ..micro_tcp::TcpConfig::default()
    };
    if let Some(size) = arguments.pool_size {
        config.connections = size;
    }
    if let Some(ttl) = arguments.pool_ttl {
        config.idle_timeout = ttl;
    }
    if let Some(limit) = arguments.dial_timeout {
        config.connect_timeout = limit;
    }
    unused_addresses("transport", "tcp", &arguments.addresses);
    Ok(Arc::new(micro_tcp::TcpTransport::new(config)?))
}

/// It has no connections whose age would count.
#[cfg(feature = "udp")]
pub(super) fn udp(arguments: PluginArguments) -> Result<Arc<dyn Transport>> {
    if arguments.tls.is_some() {
        return Err(wrong(
            "it has no encryption; leave out the TLS flags or choose --transport=tcp".into(),
        ));
    }
    let mut config = micro_udp::UdpConfig::default();
    if let Some(calls) = arguments.pool_size {
        config.calls = calls;
    }
    if let Some(limit) = arguments.dial_timeout {
        config.connect_timeout = limit;
    }
    unused_addresses("transport", "udp", &arguments.addresses);
    Ok(Arc::new(micro_udp::UdpTransport::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "udp")]
    #[test]
    fn udp_does_not_pretend_to_encrypt() {
        let arguments = PluginArguments {
            tls: Some(micro_core::transport::http::Tls::default()),
            ..PluginArguments::default()
        };
        let error = udp(arguments).err().unwrap();
        assert!(error.detail().contains("no encryption"), "{error}");
    }
}
