//! Where events go that cannot be handled.

use crate::Text;

/// What is done with an event that fails again and again, so that it neither is lost nor keeps others waiting for ever.
///
/// It is published to another topic with its own headers and body, and with the headers [`TOPIC`](Self::TOPIC),
/// [`REASON`](Self::REASON) and [`ATTEMPTS`](Self::ATTEMPTS); then it is acknowledged where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The topic to which it is published.
    pub topic: Text,
    /// How often it is handled before; 0 counts as 1. Where the broker counts how often it gave out an event, what came
    /// back undecided counts too, and an event that came back so often, and at least three times, is put aside without
    /// another attempt: those who were given it probably died over it.
    pub attempts: u32,
}

impl DeadLetter {
    /// The header that says to which topic the event was published first.
    pub const TOPIC: &str = "Dead-Letter-Topic";
    /// The header that says why it could not be handled: the last error.
    pub const REASON: &str = "Dead-Letter-Reason";
    /// The header that says how often it was handled, or given out.
    pub const ATTEMPTS: &str = "Dead-Letter-Attempts";
    /// An event that came back less often than this may have been given to processes that were merely restarted.
    pub(crate) const SUSPICIOUS: u32 = 3;
}
