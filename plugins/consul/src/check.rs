//! How Consul finds out that a node is gone.

use std::time::Duration;

use micro_consul_connection::duration_text;
use serde::Serialize;

/// Consul takes out what is critical for this long, or longer …
const DEREGISTER_AFTER: Duration = Duration::from_secs(60);
/// … and this much longer than the time to live, as in Go Micro.
const SPLAY: Duration = Duration::from_secs(5);
/// Consul counts nanoseconds in 63 bits.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What Consul is to check. The fields are in Go's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    #[serde(rename = "Interval", skip_serializing_if = "Option::is_none")]
    interval: Option<String>,
    #[serde(rename = "TTL", skip_serializing_if = "Option::is_none")]
    ttl: Option<String>,
    #[serde(rename = "TCP", skip_serializing_if = "Option::is_none")]
    tcp: Option<String>,
    #[serde(rename = "DeregisterCriticalServiceAfter")]
    deregister_after: String,
}

impl Check {
    /// The node is alive as long as it says so within this time.
    pub(crate) fn ttl(ttl: Duration) -> Self {
        // Consul's shortest is more than nothing.
        let ttl = ttl.clamp(Duration::from_millis(1), LONGEST);
        Self {
            interval: None,
            ttl: Some(duration_text(ttl)),
            tcp: None,
            deregister_after: duration_text(deregister_after(ttl)),
        }
    }

    /// The node is alive as long as it takes a connection, which the agent tries this often.
    pub(crate) fn tcp(address: &str, interval: Duration) -> Self {
        let interval = interval.min(LONGEST);
        Self {
            interval: Some(duration_text(interval)),
            ttl: None,
            tcp: Some(address.to_owned()),
            deregister_after: duration_text(deregister_after(interval)),
        }
    }

    /// Whether the node has to say that it is alive.
    pub(crate) fn is_passed(&self) -> bool {
        self.ttl.is_some()
    }
}

fn deregister_after(time: Duration) -> Duration {
    time.max(DEREGISTER_AFTER) + SPLAY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_critical_goes_as_late_as_in_go_micro() {
        let json = |check: Check| serde_json::to_string(&check).unwrap();
        assert_eq!(
            json(Check::ttl(Duration::from_secs(30))),
            r#"{"TTL":"30s","DeregisterCriticalServiceAfter":"1m5s"}"#
        );
        assert_eq!(
            json(Check::ttl(Duration::from_secs(90))),
            r#"{"TTL":"1m30s","DeregisterCriticalServiceAfter":"1m35s"}"#
        );
        assert_eq!(
            json(Check::tcp("127.0.0.1:9101", Duration::from_secs(10))),
            r#"{"Interval":"10s","TCP":"127.0.0.1:9101","DeregisterCriticalServiceAfter":"1m5s"}"#
        );
        assert!(Check::ttl(Duration::ZERO).is_passed());
        let _ = Check::ttl(Duration::MAX);
    }
}
