//! The watch of a package: its names are looked up again after a while, and when a node cannot be reached.

use std::future::pending;
use std::time::Duration;

use async_trait::async_trait;
use micro_core::Result;
use micro_core::registry::{News, ServiceRecord, WatchSource};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::SHORTEST;
use super::nodes::Nodes;

pub(super) struct Watching {
    package: String,
    nodes: Nodes,
    refresh: Duration,
    unreached: watch::Receiver<()>,
    looked: Instant,
}

impl Watching {
    pub(super) fn new(
        package: &str,
        nodes: Nodes,
        refresh: Duration,
        unreached: watch::Receiver<()>,
    ) -> Self {
        Self {
            package: package.to_owned(),
            nodes,
            refresh,
            unreached,
            looked: Instant::now(),
        }
    }

    async fn list(&mut self) -> Result<Vec<ServiceRecord>> {
        // What fails from here on may be known to the look-up, or not: then there is another one.
        self.unreached.mark_unchanged();
        let record = self.nodes.record(&self.package).await;
        self.looked = Instant::now();
        Ok(vec![record?])
    }
}

#[async_trait]
impl WatchSource for Watching {
    async fn begin(&mut self) -> Result<Vec<ServiceRecord>> {
        self.list().await
    }

    async fn next(&mut self) -> Result<News> {
        if !self.nodes.may_change() {
            return pending().await;
        }
        sleep_until(self.looked + SHORTEST).await;
        let due = self.looked + self.refresh;
        let unreached = async {
            // An error: the services are gone, and with them who could tell.
            if self.unreached.changed().await.is_err() {
                pending().await
            }
        };
        // An error is that the time is up.
        let _ = timeout_at(due, unreached).await;
        self.list().await.map(News::Listing)
    }
}
