//! What can be chosen for all calls of a client, and for some.

use std::time::Duration;

use crate::selector::Filters;
use crate::{Metadata, Text};

/// What holds for all calls of a client.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClientOptions {
    /// How long a unary call may take, all attempts together. Streams have no limit unless one is asked for.
    /// Default: 30 s.
    pub request_timeout: Duration,
    /// When and how a failed attempt is repeated.
    pub retry: RetryOptions,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(30),
            retry: RetryOptions::default(),
        }
    }
}

/// When and how a failed attempt is repeated.
///
/// An attempt that surely never started (refused, not sent, node gone) is repeated at another node. One that may
/// have started is repeated only where the request is idempotent, and only while the budget lasts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryOptions {
    /// How many times at most, beyond the first attempt. Default: 5.
    pub retries: u32,
    /// The pause before the second retry; it doubles from there, each pause drawn between half and whole. The
    /// first retry follows at once where another node is known. Default: 50 ms.
    pub backoff: Duration,
    /// The longest pause. Default: 1 s.
    pub max_backoff: Duration,
    /// How many repetitions of idempotent calls a call earns; what is earned adds up to 100. Beyond that, as many as
    /// there are calls in flight are made on credit, which later calls pay back: a node may die with any number of
    /// calls, but a storm of repetitions does not last. Default: 0.2.
    pub budget: f32,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self {
            retries: 5,
            backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(1),
            budget: 0.2,
        }
    }
}

/// What holds for some calls; see [`Client::with_options`](crate::Client::with_options).
///
/// ```
/// use std::time::Duration;
/// use micro_core::client::CallOptions;
///
/// let options = CallOptions { timeout: Some(Duration::from_millis(500)), ..CallOptions::default() };
/// ```
#[derive(Debug, Clone, Default)]
pub struct CallOptions {
    /// How long the call may take, all attempts together; of a stream, all of it. Default: the client's.
    pub timeout: Option<Duration>,
    /// How many attempts at most beyond the first. Default: the client's.
    pub retries: Option<u32>,
    /// States that the far handler may safely run more than once. Default: as its method says.
    pub idempotent: bool,
    /// Calls these addresses, whatever the registry knows. Default: none.
    pub addresses: Vec<String>,
    /// Nodes that do not pass are not called. Default: none.
    pub filters: Filters,
    /// Calls with equal keys go to the same node, where the strategy hashes. Default: none.
    pub key: Option<Text>,
    /// Travels with the call, in place of what the request itself or its context has under the same names.
    /// Default: none.
    pub metadata: Metadata,
    /// Where events go, instead of their topic: what some brokers call an exchange. The event still names its topic.
    /// Default: none.
    pub exchange: Option<Text>,
    /// The format of the bodies. Default: protobuf for calls with generated types, JSON for plain
    /// ones and for events.
    pub content_type: Option<Text>,
}
