//! What the caller of a call laid down.

use std::time::Duration;

use h2::Reason;
use http::HeaderMap;
use micro_core::Request;
use tokio::time::Instant;

use crate::trailers::Trailers;

/// How much earlier than here a call's time may be up at the other side: what is left travels in whole milliseconds.
const ROUNDING: Duration = Duration::from_millis(1);

/// Until when a call may go on, and who wants to know of its end.
pub(super) struct Terms {
    deadline: Option<Instant>,
    trailers: Option<Trailers>,
}

impl Terms {
    /// Those of a call that begins.
    pub(super) fn of(request: &Request) -> Self {
        Self {
            deadline: request.deadline,
            trailers: Trailers::of(request),
        }
    }

    /// Keeps what came at the end, where somebody wants to know.
    pub(super) fn note(&self, trailers: Option<&HeaderMap>) {
        if let Some(wanted) = &self.trailers {
            wanted.fill(trailers);
        }
    }

    /// Whether a call ended so because its time was up. Servers in Go then say no more than that they gave it up.
    pub(super) fn is_out_of_time(&self, problem: &h2::Error) -> bool {
        problem.is_remote()
            && problem.is_reset()
            && problem.reason() == Some(Reason::CANCEL)
            && self
                .deadline
                .is_some_and(|deadline| deadline <= Instant::now() + ROUNDING)
    }
}
