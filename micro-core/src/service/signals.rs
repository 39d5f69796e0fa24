//! What tells a process to stop.

use crate::{Error, Result};

/// SIGINT, SIGTERM and SIGQUIT; elsewhere than on Unix, Ctrl-C.
pub(super) struct Signals {
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 3],
}

impl Signals {
    /// Listens from now on.
    pub(super) fn new() -> Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let listen = |kind| {
                signal(kind)
                    .map_err(|problem| Error::server(500, format!("cannot listen for signals: {problem}")))
            };
            let kinds = [
                SignalKind::interrupt(),
                SignalKind::terminate(),
                SignalKind::quit(),
            ];
            let [interrupt, terminate, quit] = kinds.map(listen);
            Ok(Self {
                signals: [interrupt?, terminate?, quit?],
            })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        #[cfg(unix)]
        {
            let [interrupt, terminate, quit] = &mut self.signals;
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
                _ = quit.recv() => "SIGQUIT",
            };
            tracing::info!("{name}: stopping");
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
