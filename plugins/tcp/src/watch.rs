//! Notices that the other side of a connection is gone without a word, or only pretends to be there.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::{KeepAlive, LONGEST, TcpLimits};
use crate::frame::kind;
use crate::hub::Kept;
use crate::line::Line;

/// The shortest pause between two looks at a connection.
const SHORTEST: Duration = Duration::from_millis(10);

/// What is known of the other side.
pub(crate) struct Watch {
    keep_alive: KeepAlive,
    write_timeout: Duration,
    message_timeout: Duration,
    /// It was asked whether it is there, and did not answer.
    is_waiting: bool,
    due: Instant,
    /// Since when nothing more was written, and since when the same frame is being read.
    writing: Option<(u64, Instant)>,
    reading: Option<(u64, Instant)>,
}

impl Watch {
    pub(crate) fn new(keep_alive: KeepAlive, limits: &TcpLimits, now: Instant) -> Self {
        let bounded = |time: Duration| time.clamp(SHORTEST, LONGEST);
        let keep_alive = KeepAlive {
            interval: bounded(keep_alive.interval),
            timeout: bounded(keep_alive.timeout),
        };
        Self {
            keep_alive,
            write_timeout: bounded(limits.write_timeout),
            message_timeout: bounded(limits.message_timeout),
            is_waiting: false,
            due: now + keep_alive.interval,
            writing: None,
            reading: None,
        }
    }

    /// When to look again.
    pub(crate) fn next(&self) -> Instant {
        let writing = self.writing.map(|(_, since)| since + self.write_timeout);
        let reading = self.reading.map(|(_, since)| since + self.message_timeout);
        [writing, reading]
            .into_iter()
            .flatten()
            .fold(self.due, Instant::min)
    }

    /// Looks at a connection. An error says why it is to be closed. One that is not `needed` is not asked.
    pub(crate) fn look<C: Kept>(
        &mut self,
        line: &mut Line<C>,
        is_needed: bool,
        now: Instant,
    ) -> Result<(), String> {
        if is_stuck(
            &mut self.writing,
            line.is_writing(),
            line.written(),
            self.write_timeout,
            now,
        ) {
            let limit = self.write_timeout;
            return Err(format!(
                "nothing was taken of what was sent for {limit:?}, the limit write_timeout"
            ));
        }
        if is_stuck(
            &mut self.reading,
            line.is_mid_frame(),
            line.count,
            self.message_timeout,
            now,
        ) {
            let limit = self.message_timeout;
            return Err(format!(
                "a frame took longer than {limit:?}, the limit message_timeout"
            ));
        }
        if now < self.due {
            return Ok(());
        }
        if std::mem::take(&mut line.was_heard) || !is_needed {
            self.is_waiting = false;
        } else if self.is_waiting {
            let limit = self.keep_alive.timeout;
            return Err(format!(
                "no answer to a ping within {limit:?}, the time-out of keep_alive"
            ));
        } else {
            line.hub
                .with(|state, _| state.outbox.plain(0, kind::PING, 0, &[0; 8]));
            self.is_waiting = true;
        }
        let pause = match self.is_waiting {
            true => self.keep_alive.timeout,
            false => self.keep_alive.interval,
        };
        self.due = now + pause;
        Ok(())
    }
}

/// Whether something that is under way has stood still for too long.
fn is_stuck(
    since: &mut Option<(u64, Instant)>,
    is_under_way: bool,
    progress: u64,
    limit: Duration,
    now: Instant,
) -> bool {
    match *since {
        _ if !is_under_way => *since = None,
        Some((before, since)) if before == progress => return now >= since + limit,
        _ => *since = Some((progress, now)),
    }
    false
}
