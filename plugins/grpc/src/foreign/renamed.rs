//! Foreign services whose records somebody else keeps in a registry.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use micro_core::Result;
use micro_core::registry::{Change, Registry, ServiceRecord, Watcher};

/// A service of a registry under the name of its package.
pub(super) struct Renamed {
    registry: Arc<dyn Registry>,
    name: String,
    package: String,
}

impl Renamed {
    pub(super) fn new(registry: Arc<dyn Registry>, name: String, package: String) -> Self {
        Self {
            registry,
            name,
            package,
        }
    }

    pub(super) async fn get(&self) -> Result<Vec<ServiceRecord>> {
        let mut records = self.registry.get_service(&self.name).await?;
        records
            .iter_mut()
            .for_each(|record| rename(record, &self.package));
        Ok(records)
    }

    pub(super) async fn watch(&self) -> Result<Watcher> {
        let changes = self.registry.watch(Some(&self.name)).await?;
        Ok(Watcher::new(Changes {
            changes,
            package: self.package.clone(),
        }))
    }
}

impl fmt::Debug for Renamed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} in {}", self.name, self.registry.name())
    }
}

/// Gives a record the package's name. What others wrote under these names is not meant for transports of Micro.
fn rename(record: &mut ServiceRecord, package: &str) {
    package.clone_into(&mut record.name);
    for node in &mut record.nodes {
        node.metadata.remove("protocol");
        node.metadata.remove("transport");
    }
}

struct Changes {
    changes: Watcher,
    package: String,
}

impl Stream for Changes {
    type Item = Result<Change>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.changes).poll_next(context);
        next.map(|next| {
            next.map(|change| {
                change.map(|mut change| {
                    rename(&mut change.service, &self.package);
                    change
                })
            })
        })
    }
}
