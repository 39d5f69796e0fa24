//! How a verb that goes on learns that it is to end.

use std::io;

use crate::failure::{Code, Failure, Outcome};

/// Ctrl-C and, where there are signals, SIGTERM: heard from the moment this is made. Without it they end the process.
pub(crate) struct Ending {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Ending {
    /// Begins to hear.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub(crate) fn new() -> Outcome<Self> {
        Self::listen()
            .map_err(|error| Failure::new(Code::Failed, format!("signals cannot be heard: {error}")))
    }

    #[cfg(unix)]
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    #[cfg(not(unix))]
    fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits until the verb is told to end. May be cancelled; nothing is lost then.
    pub(crate) async fn told(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
