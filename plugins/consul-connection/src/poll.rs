//! Requests that Consul answers when something is new.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use micro_core::Result;
use tokio::time::{Instant, sleep_until};

use crate::client::{Answer, ConsulClient};
use crate::path::Path;

/// The longest that is waited from one request to the next.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// One request that is made again and again, and tells of what is new only.
pub struct Poll {
    client: Arc<ConsulClient>,
    path: Path,
    may_be_missing: bool,
    index: u64,
    asked: Instant,
    /// How often in a row it was answered at once with nothing new.
    idle: u32,
    waiting: Option<Waiting>,
}

type Waiting = Pin<Box<dyn Future<Output = Result<Answer>> + Send>>;

impl Poll {
    /// From one request to the next at least this long, since Consul may answer at once, again and again. It doubles up to
    /// 5 s while answers come at once and have no new index.
    pub const PAUSE: Duration = Duration::from_millis(50);
    /// Between two requests a Consul that was restarted goes unnoticed, and without its data it may have reached the index
    /// that was seen last with another state. No Consul is back faster than this; who was not [waiting](Self::is_waiting)
    /// for longer begins anew.
    pub const UNREAD: Duration = Duration::from_millis(100);

    /// Asks for a path. Nothing is asked before [`begin`](Self::begin).
    pub fn new(client: &Arc<ConsulClient>, path: Path) -> Self {
        Self {
            client: client.clone(),
            path,
            may_be_missing: false,
            index: 0,
            asked: Instant::now(),
            idle: 0,
            waiting: None,
        }
    }

    /// Asks for a path where there may be nothing, which is an answer then, too.
    pub fn of_what_may_be_missing(client: &Arc<ConsulClient>, path: Path) -> Self {
        Self {
            may_be_missing: true,
            ..Self::new(client, path)
        }
    }

    /// Asks for what there is now.
    ///
    /// # Errors
    ///
    /// When no agent answers in time, or one refuses.
    pub async fn begin(&mut self) -> Result<Answer> {
        self.waiting = None;
        self.asked = Instant::now();
        let answer = match self.may_be_missing {
            true => self.client.find(&self.path).await?,
            false => self.client.get(&self.path).await?,
        };
        self.index = self.index_of(&answer)?;
        Ok(answer)
    }

    /// Waits for another index. May be cancelled; it goes on waiting then.
    ///
    /// # Errors
    ///
    /// When the connection is lost, or the agent falls silent or refuses. Changes may have been missed then, and it is to
    /// be begun anew.
    pub async fn next(&mut self) -> Result<Answer> {
        loop {
            let waiting = match &mut self.waiting {
                Some(waiting) => waiting,
                None => {
                    sleep_until(self.asked + pause(self.idle)).await;
                    self.asked = Instant::now();
                    let waiting = wait(
                        self.client.clone(),
                        self.path.clone(),
                        self.index,
                        self.may_be_missing,
                    );
                    self.waiting.insert(Box::pin(waiting))
                }
            };
            let answered = waiting.await;
            self.waiting = None;
            let answer = answered?;
            let index = self.index_of(&answer)?;
            if index == self.index {
                let is_early = self.asked.elapsed() < Self::PAUSE;
                self.idle = if is_early { self.idle.saturating_add(1) } else { 0 };
                continue;
            }
            self.idle = 0;
            // An index that goes backwards, as after a restore, means nothing for the next wait.
            self.index = if index < self.index { 0 } else { index };
            return Ok(answer);
        }
    }

    /// Whether a request is under way, which notices when Consul goes.
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Waiting for more than 0 is answered at once.
    fn index_of(&self, answer: &Answer) -> Result<u64> {
        let index = answer
            .index
            .ok_or_else(|| self.client.unexpected(answer.agent, "told no index of its state"))?;
        Ok(index.max(1))
    }
}

impl fmt::Debug for Poll {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Poll")
            .field("path", &self.path)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

async fn wait(client: Arc<ConsulClient>, path: Path, index: u64, may_be_missing: bool) -> Result<Answer> {
    client.wait(&path, index, may_be_missing).await
}

fn pause(idle: u32) -> Duration {
    (Poll::PAUSE * 2_u32.pow(idle.min(10))).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        assert_eq!(pause(0), Poll::PAUSE);
        assert_eq!(pause(1), Poll::PAUSE * 2);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
