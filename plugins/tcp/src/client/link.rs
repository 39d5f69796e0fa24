//! One connection to a node, on which many calls go on at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use micro_core::Text;
use micro_core::transport::socket::Connector;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::call::ClientCall;
use super::driver::Driver;
use super::links::Links;
use crate::config::TcpConfig;
use crate::hub::Hub;
use crate::line::{Ended, Line};
use crate::preamble::{self, Stranger, Terms};
use crate::watch::Watch;

pub(super) type ClientHub = Arc<Hub<ClientCall>>;

/// A connection. Dropped, it is closed.
pub(super) struct Link {
    address: Text,
    hub: ClientHub,
    /// How many calls go on here, and how many may.
    calls: AtomicUsize,
    most: usize,
    _task: AbortOnDropHandle<()>,
}

impl Link {
    /// Connects, and exchanges the first words. Sets no limit on the time.
    pub(super) async fn connect(
        address: &Text,
        connector: &Connector,
        config: &TcpConfig,
        links: std::sync::Weak<Links>,
    ) -> Result<Arc<Self>, String> {
        let connected = connector.connect(address).await;
        let mut socket = connected.map_err(|problem| Ended::Broken(problem).to_string())?;
        let own = Terms::of(config);
        let said = async {
            socket.write_all(&own.preamble()).await?;
            socket.flush().await
        };
        let said = said.await;
        // Read in any case: whoever does not want to hear may have said why. And whoever listens answers; until then it
        // may be a system's queue and nobody behind it, and calls sent there would be lost without anybody knowing it.
        let peer = preamble::read(&mut socket)
            .await
            .map_err(|stranger| match stranger {
                Stranger::Gone(problem) => Ended::Broken(problem).to_string(),
                other => other.to_string(),
            })?;
        said.map_err(|problem| Ended::Broken(problem).to_string())?;
        let hub = Hub::new(own, peer);
        Ok(Arc::new_cyclic(|link| {
            let driver = Driver {
                line: Line::new(socket, hub.clone()),
                watch: Watch::new(config.keep_alive, &config.limits, Instant::now()),
                links,
                link: link.clone(),
                address: address.clone(),
                used: Instant::now(),
                last: 0,
                idle_timeout: config.idle_timeout.min(crate::config::LONGEST),
                frames: Vec::new(),
            };
            Self {
                address: address.clone(),
                most: hub.peer.calls as usize,
                hub,
                calls: AtomicUsize::new(0),
                _task: AbortOnDropHandle::new(tokio::spawn(driver.run())),
            }
        }))
    }

    pub(super) fn address(&self) -> &Text {
        &self.address
    }

    /// How many calls go on here.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Whether it takes no further call, because it has as many as the other side wants.
    pub(super) fn is_full(&self) -> bool {
        self.calls() >= self.most
    }
}

/// A call's place on a connection, which stays open at least until this is dropped.
pub(super) struct Place {
    link: Arc<Link>,
    links: Arc<Links>,
}

impl Place {
    /// Takes a place. Called by one at a time, so that there are never more than may be.
    pub(super) fn take(link: &Arc<Link>, links: Arc<Links>) -> Self {
        link.calls.fetch_add(1, Ordering::Relaxed);
        Self {
            link: link.clone(),
            links,
        }
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    pub(super) fn hub(&self) -> &ClientHub {
        &self.link.hub
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let before = self.link.calls.fetch_sub(1, Ordering::Relaxed);
        if before >= self.link.most {
            self.links.tell_room();
        }
    }
}
