//! Telling Redis of events that were handled, of many at once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use micro_core::{Error, Result};
use tokio::sync::{Semaphore, oneshot};

use crate::entry::EntryId;

/// How many events one command tells of.
const MOST: usize = 512;

/// Tells of one event at once. Those that are decided while Redis is told wait for their turn and are then told of
/// together: a command for each would cost more than handling a small event.
pub(crate) struct Acknowledgements {
    waiting: Mutex<Vec<Waiting>>,
    turn: Semaphore,
}

struct Waiting {
    id: EntryId,
    told: oneshot::Sender<Result<()>>,
}

impl Default for Acknowledgements {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            turn: Semaphore::new(1),
        }
    }
}

impl Acknowledgements {
    /// Returns when Redis was told of an event. `tell` tells it of several. When cancelled, Redis may or may not have been
    /// told; others whom that concerns tell it again.
    pub(crate) async fn add<T: Future<Output = Result<()>>>(
        &self,
        id: EntryId,
        tell: impl Fn(Vec<EntryId>) -> T,
    ) -> Result<()> {
        loop {
            let (told, mut answer) = oneshot::channel();
            self.waiting().push(Waiting { id, told });
            let turn = tokio::select! {
                biased;
                answered = &mut answer => match answered {
                    Ok(told) => return told,
                    // Whoever had the turn was cancelled.
                    Err(_) => continue,
                },
                turn = self.turn.acquire() => turn,
            };
            let _turn = turn.map_err(|_| Error::internal("", "nobody acknowledges any more"))?;
            // Whoever had the turn before may have told of this one as well.
            match answer.try_recv() {
                Ok(told) => return told,
                Err(oneshot::error::TryRecvError::Closed) => continue,
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            let batch = self.take();
            let told = tell(batch.iter().map(|waiting| waiting.id).collect()).await;
            for waiting in batch {
                // It may not wait any more.
                let _ = waiting.told.send(told.as_ref().map_or_else(copied, |()| Ok(())));
            }
            if let Ok(told) = answer.try_recv() {
                return told;
            }
        }
    }

    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting();
        // What was cancelled has gone back, and is not to be told of.
        waiting.retain(|waiting| !waiting.told.is_closed());
        let many = waiting.len().min(MOST);
        waiting.drain(..many).collect()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn copied(error: &Error) -> Result<()> {
    Err(Error::new(
        error.id().to_owned(),
        error.code(),
        error.detail().to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use futures_util::future::join_all;
    use tokio::sync::Notify;
    use tokio::time::{sleep, timeout};

    use super::*;

    fn id(number: u64) -> EntryId {
        EntryId(number, 0)
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_wait_are_told_of_together() {
        let (acknowledgements, commands) = (Acknowledgements::default(), RefCell::new(Vec::new()));
        let tell = async |ids: Vec<EntryId>| {
            sleep(Duration::from_millis(1)).await;
            commands.borrow_mut().push(ids);
            Ok(())
        };
        let all = (0..1_000).map(|number| acknowledgements.add(id(number), &tell));
        for told in join_all(all).await {
            told.unwrap();
        }
        let sizes: Vec<usize> = commands.borrow().iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, MOST, 1_000 - 1 - MOST]);
        let mut told = commands.take().concat();
        told.sort_unstable();
        told.dedup();
        assert_eq!(told.len(), 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_told_to_all_whom_it_concerns_and_to_nobody_else() {
        let acknowledgements = Acknowledgements::default();
        let tell = async |ids: Vec<EntryId>| {
            sleep(Duration::from_millis(1)).await;
            match ids.len() {
                1 => Ok(()),
                _ => Err(Error::internal("", "no")),
            }
        };
        let first = acknowledgements.add(id(1), &tell);
        let others = async {
            sleep(Duration::from_micros(500)).await;
            tokio::join!(
                acknowledgements.add(id(2), &tell),
                acknowledgements.add(id(3), &tell)
            )
        };
        let (first, (second, third)) = tokio::join!(first, others);
        assert!(first.is_ok() && second.is_err() && third.is_err());
        acknowledgements.add(id(4), &tell).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_cancelled_in_the_middle_takes_nobody_along() {
        let (acknowledgements, begun) = (Acknowledgements::default(), Notify::new());
        let hangs = async |_: Vec<EntryId>| {
            begun.notify_one();
            std::future::pending().await
        };
        let told = RefCell::new(Vec::new());
        let tells = async |ids: Vec<EntryId>| {
            told.borrow_mut().extend(ids);
            Ok(())
        };
        let others = async {
            // They come before the first looks who waits, and after.
            tokio::join!(acknowledgements.add(id(2), &tells), async {
                begun.notified().await;
                acknowledgements.add(id(3), &tells).await
            })
        };
        let first = timeout(Duration::from_secs(1), acknowledgements.add(id(1), &hangs));
        let (first, (second, third)) = tokio::join!(first, others);
        assert!(first.is_err() && second.is_ok() && third.is_ok());
        assert!(told.borrow().contains(&id(2)) && told.borrow().contains(&id(3)));
    }
}
