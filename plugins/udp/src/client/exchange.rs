//! A call: sent until it is answered.

use std::sync::Arc;
use std::time::Duration;

use micro_core::{Error, Request, Response};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::conversation::Conversation;
use crate::config::{LONGEST, UdpConfig};
use crate::datagram::{Header, Unwritable, state_oldest, write_call};

/// What a call is told.
#[derive(Debug)]
pub(super) enum Event {
    Answer(Response),
    Error(Error),
    Malformed,
    Working,
    Told(Told),
    /// Nobody listens there any more; somebody may have, when the call was sent.
    Gone,
}

/// Why a call was surely not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Nobody,
    Stranger,
    Leaving,
    Full,
}

/// How a call failed.
pub(super) enum Failure {
    /// The handler's error.
    Answered(Error),
    /// It was surely not begun.
    Told(Told),
    Unsendable(Unwritable),
    Silent(Duration),
    Gone,
    Malformed,
}

/// A call under way. Dropped, it is given up.
struct Calling {
    conversation: Arc<Conversation>,
    header: Header,
    events: mpsc::Receiver<Event>,
    is_answered: bool,
}

impl Drop for Calling {
    fn drop(&mut self) {
        self.conversation.end_call(self.header, self.is_answered);
    }
}

/// Sends a call, again and again, until it is answered.
pub(super) async fn exchange(
    conversation: &Arc<Conversation>,
    // Borrowed alone, because its body cannot be shared by threads.
    request: &mut Request,
    message: &[u8],
    config: &UdpConfig,
) -> Result<Response, Failure> {
    let Some((header, events)) = conversation.begin_call() else {
        return Err(Failure::Told(Told::Leaving));
    };
    let mut calling = Calling {
        conversation: conversation.clone(),
        header,
        events,
        is_answered: false,
    };
    let written = write_call(header, request, message, config.datagram_size());
    let mut datagram = written.map_err(|problem| {
        // Nothing was sent that could be given up.
        calling.is_answered = true;
        Failure::Unsendable(problem)
    })?;
    let silence_timeout = config.silence_timeout.min(LONGEST);
    let mut pause = config.first_pause.max(Duration::from_millis(1));
    let mut heard = Instant::now();
    loop {
        state_oldest(&mut datagram, conversation.oldest());
        conversation.send_call(header.number, &datagram).await;
        let jitter = 0.75 + 0.5 * fastrand::f64();
        let again = Instant::now() + pause.min(LONGEST).mul_f64(jitter);
        while let Ok(event) = timeout_at(again.min(heard + silence_timeout), calling.events.recv()).await {
            match event {
                Some(Event::Working) => {
                    heard = Instant::now();
                    pause = pause.saturating_mul(4).min(config.longest_pause.max(pause));
                }
                // The conversation lives as long as this call.
                None => return Err(Failure::Gone),
                Some(event) => return calling.end(event),
            }
        }
        if Instant::now() >= heard + silence_timeout {
            return Err(Failure::Silent(silence_timeout));
        }
        pause = pause.saturating_mul(2).min(config.longest_pause.max(pause));
    }
}

impl Calling {
    fn end(&mut self, event: Event) -> Result<Response, Failure> {
        // Whoever said that, need not be told that nobody waits.
        self.is_answered = true;
        Err(match event {
            Event::Answer(response) => return Ok(response),
            Event::Error(error) => Failure::Answered(error),
            Event::Malformed | Event::Working => Failure::Malformed,
            // Said by another listener at the same address, of a call that an earlier one may have received.
            Event::Told(Told::Stranger) if self.conversation.sent(self.header.number) > 1 => Failure::Gone,
            Event::Told(told) => Failure::Told(told),
            Event::Gone => Failure::Gone,
        })
    }
}
