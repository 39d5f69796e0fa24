//! How Consul finds out that a node is gone.

use std::time::Duration;

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
            ttl: Some(text(ttl)),
            tcp: None,
            deregister_after: text(deregister_after(ttl)),
        }
    }

    /// The node is alive as long as it takes a connection, which the agent tries this often.
    pub(crate) fn tcp(address: &str, interval: Duration) -> Self {
        let interval = interval.min(LONGEST);
        Self {
            interval: Some(text(interval)),
            ttl: None,
            tcp: Some(address.to_owned()),
            deregister_after: text(deregister_after(interval)),
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

/// A time as Go writes it, in whole milliseconds, rounded up: `1m5s`, `1.5s`, `20ms`.
pub(crate) fn text(time: Duration) -> String {
    let millis = time.as_nanos().div_ceil(1_000_000);
    let (seconds, rest) = (millis / 1000, millis % 1000);
    if seconds == 0 {
        return format!("{rest}ms");
    }
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let mut text = match (hours, minutes) {
        (0, 0) => String::new(),
        (0, minutes) => format!("{minutes}m"),
        (hours, minutes) => format!("{hours}h{minutes}m"),
    };
    text.push_str(&(seconds % 60).to_string());
    if rest > 0 {
        text.push_str(format!(".{rest:03}").trim_end_matches('0'));
    }
    text.push('s');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_writes_them() {
        let rows = [
            (1, "1ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (1_500, "1.5s"),
            (30_000, "30s"),
            (65_000, "1m5s"),
            (120_000, "2m0s"),
            (3_600_000, "1h0m0s"),
            (90_061_001, "25h1m1.001s"),
        ];
        for (millis, expected) in rows {
            assert_eq!(text(Duration::from_millis(millis)), expected);
        }
        assert_eq!(text(Duration::from_nanos(1)), "1ms", "rounded up");
    }

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
