//! How a verb that goes on learns that it is to end.

use std::io;

use crate::failure::{Code, Failure, Outcome};

/// Waits for Ctrl-C or, where there are signals, for SIGTERM.
///
/// # Errors
///
/// When signals cannot be heard.
pub(crate) async fn told_to_end() -> Outcome {
    signalled()
        .await
        .map_err(|error| Failure::new(Code::Failed, format!("signals cannot be heard: {error}")))
}

async fn signalled() -> io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            told = tokio::signal::ctrl_c() => told,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
