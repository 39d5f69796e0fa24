//! How the transport works, and what callers may ask of it.

use std::time::Duration;

/// How the UDP transport works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpConfig {
    /// The largest datagram that this side sends, in bytes, with 28 to some hundred of its own: a request or an answer
    /// that does not fit is refused by name. What fits into every network that carries IPv6 is not cut on its way.
    /// At most 65,507. Default: 1,200.
    pub datagram_size: usize,
    /// How long a node may take to the first words. Default: 5 s.
    pub connect_timeout: Duration,
    /// How long after a request it is sent again, where nothing was heard; then twice as long each time, give or take a
    /// quarter. Default: 50 ms.
    pub first_pause: Duration,
    /// How long that pause grows. A node that works on the request is asked as seldom. Default: 2 s.
    pub longest_pause: Duration,
    /// How long a node may be silent before its calls fail, where they have no earlier deadline. Default: 10 s.
    pub silence_timeout: Duration,
    /// How many calls to a node there may be at once; more wait. Default: 256.
    pub calls: usize,
    /// What callers may ask.
    pub limits: UdpLimits,
}

/// Limits on what callers may send or hold. Each error that they cause names its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpLimits {
    /// Handlers that run at once. Default: 4,096.
    pub calls: usize,
    /// Calls that are remembered, so that none runs twice. Default: 65,536.
    pub remembered: usize,
    /// Bytes of answers that are kept to be sent again. Default: 64 MiB.
    pub answers: usize,
    /// Callers that are known. Default: 16,384.
    pub callers: usize,
    /// How long a call is remembered, and an answer kept whose caller does not say that it has it. A datagram that was
    /// under way for longer may run its call again. Default: 2 min.
    pub remember: Duration,
    /// How long a caller that waits may be silent before its handler is dropped. Longer than callers'
    /// [`longest_pause`](UdpConfig::longest_pause). Default: 15 s.
    pub silence_timeout: Duration,
}

impl Default for UdpConfig {
    fn default() -> Self {
        Self {
            datagram_size: 1200,
            connect_timeout: Duration::from_secs(5),
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(2),
            silence_timeout: Duration::from_secs(10),
            calls: 256,
            limits: UdpLimits::default(),
        }
    }
}

impl Default for UdpLimits {
    fn default() -> Self {
        Self {
            calls: 4096,
            remembered: 64 * 1024,
            answers: 64 * 1024 * 1024,
            callers: 16 * 1024,
            remember: Duration::from_secs(120),
            silence_timeout: Duration::from_secs(15),
        }
    }
}

/// The longest time that is added to an instant, which would overflow on one without end.
pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// The largest datagram that there is.
const LARGEST: usize = 65_507;
/// The smallest one that a refusal in words fits into.
const SMALLEST: usize = 512;

impl UdpConfig {
    pub(crate) fn datagram_size(&self) -> usize {
        self.datagram_size.clamp(SMALLEST, LARGEST)
    }
}
