//! The task of a session: it connects, serves, and connects again.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use micro_core::retry_pause;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout};

use crate::connection::{Connection, End};
use crate::dial::Dialler;
use crate::error::Trouble;
use crate::inbox::Inboxes;
use crate::intake::Intake;

/// Who asks ends a pause between two attempts to connect, though not before this.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// A connection that lasted this long was a success.
const LASTING: Duration = Duration::from_secs(5);
/// How long it may go on without its owner: to close the session, for which a server has a second.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

pub(crate) struct Session {
    pub(crate) dialler: Dialler,
    pub(crate) intake: Intake,
    pub(crate) inboxes: Arc<Inboxes>,
    /// Tells which session is open.
    pub(crate) id: watch::Sender<i64>,
    pub(crate) authentication: Option<Bytes>,
    /// How many bytes an answer may have.
    pub(crate) limit: usize,
}

impl Session {
    /// Runs as long as the owner holds the other end, and then for a moment, in which it closes the session. Where the
    /// owner aborted it instead, what the session holds would stay at the servers until they miss it.
    pub(crate) async fn run_for(self, mut owner: oneshot::Sender<()>) {
        let mut running = pin!(self.run());
        tokio::select! {
            () = &mut running => return,
            () = owner.closed() => {}
        }
        // What is late is dropped, and its connection with it.
        let _ = timeout(LEAVE_WITHIN, running).await;
    }

    /// Runs until nobody is left who could ask, and closes the session then.
    async fn run(mut self) {
        let mut failures = 0;
        loop {
            let dialled = tokio::select! {
                dialled = self.dialler.dial() => dialled,
                () = self.intake.until_closed() => return,
            };
            let begun = Instant::now();
            let trouble = match dialled {
                Err(trouble) => {
                    // Who asks learns after one round what is wrong, and does not wait for the next.
                    self.intake.refuse(&trouble);
                    trouble
                }
                Ok(dialled) => {
                    let session = dialled.session;
                    self.id
                        .send_if_modified(|id| std::mem::replace(id, session) != session);
                    let connection = Connection::new(dialled, self.limit, self.authentication.as_ref());
                    let end = connection.serve(&mut self.intake, &self.inboxes).await;
                    self.inboxes.lose();
                    match end {
                        End::Closed => return,
                        End::Lost(trouble) => {
                            self.dialler.leave();
                            trouble
                        }
                    }
                }
            };
            // What ends again and again right after it began must not spin.
            let lasted = begun.elapsed() > LASTING;
            failures = if lasted { 0 } else { failures + 1 };
            if failures > 0 && !self.rest(failures, &trouble).await {
                return;
            }
        }
    }

    async fn rest(&mut self, failures: u32, trouble: &Trouble) -> bool {
        tracing::debug!("zookeeper: attempt {failures} to keep a connection failed: {trouble:?}");
        let pause = retry_pause(failures);
        self.intake.rest(pause.min(SHORTEST_PAUSE), pause).await
    }
}
