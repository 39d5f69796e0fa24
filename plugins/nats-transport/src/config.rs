//! How calls go over NATS.

use std::time::Duration;

use micro_core::Result;
use micro_nats_connection::{NatsServers, Role};
use tokio::sync::Semaphore;

use crate::error;

/// How calls go over NATS. The default meets Go Micro's services at a server of this machine.
#[derive(Debug, Clone)]
pub struct NatsTransportConfig {
    /// Where the servers are, and how to speak with them.
    pub servers: NatsServers,
    /// How long a call waits for a connection that was lost before it fails. Default: 2 s.
    pub connect_timeout: Duration,
    /// How many sockets that wait for the next call are kept to each node in Go, which holds something for each.
    /// Default: 100, as Go Micro.
    pub pool_size: usize,
    /// How long such a socket may wait before the node is told to forget it. Default: 1 min, as Go Micro.
    pub pool_idle_timeout: Duration,
    /// How often it is asked whether a node is still there that owes answers. Default: 1 s.
    pub probe_interval: Duration,
    /// How many calls and streams a listener works on at once; more are told to go elsewhere. Default: 16,384.
    pub sockets: usize,
    /// How many messages of a stream may be under way unread in each direction. Default: 64.
    pub stream_window: usize,
    /// How many messages of a stream wait for a reader when its peer, one in Go, does not ask whether there is room.
    /// One more ends the stream with an error. Default: 1024.
    pub stream_buffer: usize,
}

impl Default for NatsTransportConfig {
    fn default() -> Self {
        Self {
            servers: NatsServers::default(),
            connect_timeout: Duration::from_secs(2),
            pool_size: 100,
            pool_idle_timeout: Duration::from_secs(60),
            probe_interval: Duration::from_secs(1),
            sockets: 16_384,
            stream_window: 64,
            stream_buffer: 1024,
        }
    }
}

impl NatsTransportConfig {
    /// Takes the texts of `--transport_address` as the servers' addresses. None: the default.
    ///
    /// # Errors
    ///
    /// When a text is no address.
    pub fn from_addresses(addresses: &[String]) -> Result<Self> {
        Ok(Self {
            servers: NatsServers::from_addresses(addresses, Role::Transport)?,
            ..Self::default()
        })
    }

    pub(crate) fn check(&self) -> Result<()> {
        let counts = [self.sockets, self.stream_window, self.stream_buffer];
        if counts.contains(&0) || self.probe_interval.is_zero() {
            return Err(error::misconfigured(
                "a limit or an interval of zero lets nothing happen; give at least one, or a millisecond",
            ));
        }
        Ok(())
    }

    /// How many messages of a stream wait for its reader, and its end.
    pub(crate) fn stream_limit(&self) -> usize {
        let limit = self.stream_buffer.max(self.stream_window).saturating_add(1);
        limit.min(Semaphore::MAX_PERMITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_without_bounds_is_as_large_as_a_channel_may_be() {
        let config = NatsTransportConfig {
            stream_buffer: usize::MAX,
            ..NatsTransportConfig::default()
        };
        config.check().unwrap();
        drop(tokio::sync::mpsc::channel::<()>(config.stream_limit()));
        assert_eq!(NatsTransportConfig::default().stream_limit(), 1025);
    }
}
