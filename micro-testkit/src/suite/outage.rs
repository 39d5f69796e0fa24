//! The trouble that all suites of outages make with a proxy, and what they find out by it.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use micro_core::{Error, ErrorKind};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::{Ending, Outcome, ensure, soon};
use crate::proxy::Proxy;

/// How long a server that hangs up is left alone, to see how often it is asked.
pub(crate) const WATCHED: Duration = Duration::from_secs(3);
/// How many connections are right in that time for one that comes back after growing pauses.
const FEW: usize = 40;
/// Connections that a client may keep for what it does next.
pub(crate) const KEPT: usize = 6;

pub(crate) async fn mend(proxy: &Mutex<Proxy>) -> Outcome {
    let mended = proxy.lock().await.mend().await;
    mended.map_err(|problem| Ending::failed(format!("the proxy cannot be mended: {problem}")))
}

/// Hangs up on everybody for a while, and returns how often it was connected to meanwhile: not without pause.
pub(crate) async fn hang_up<T>(
    proxy: &Mutex<Proxy>,
    meanwhile: impl Future<Output = T>,
) -> Result<usize, Ending> {
    let hung_up = proxy.lock().await.hang_up().await;
    hung_up.map_err(|problem| Ending::failed(format!("the proxy cannot hang up: {problem}")))?;
    let before = proxy.lock().await.accepted();
    let _ = timeout(WATCHED, meanwhile).await;
    let asked = proxy.lock().await.accepted() - before;
    ensure!(asked <= FEW, "connected {asked} times in {WATCHED:?}");
    Ok(asked)
}

/// Waits until hardly more connections are open than there were before.
pub(crate) async fn closes(proxy: &Mutex<Proxy>, before: usize, within: Duration) -> Outcome {
    let closed = async {
        while proxy.lock().await.connections() > before + KEPT {
            sleep(Duration::from_millis(50)).await;
        }
    };
    soon(within, "the connections of what was dropped are closed", closed).await
}

/// The error must be of a server that is away, in words that help: its address, and what of.
pub(crate) fn is_of_absence(error: &Error, address: SocketAddr, names: &str) -> Outcome {
    ensure!(
        matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout),
        "an error of a server that is away must be Unavailable or Timeout, not {:?}: {error}",
        error.kind()
    );
    names_address(error.detail(), address)?;
    ensure!(
        error.detail().contains(names),
        "the error does not say what of, {names}: {error}"
    );
    Ok(())
}

pub(crate) fn names_address(words: &str, address: SocketAddr) -> Outcome {
    let names_port = words.contains(&address.port().to_string());
    ensure!(names_port, "the error does not say which address: {words}");
    Ok(())
}
