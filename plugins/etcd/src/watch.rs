//! Watching: what comes, changes and goes under a prefix.

use std::sync::Arc;

use async_trait::async_trait;
use micro_core::Result;
use micro_core::registry::{News, ServiceRecord, WatchSource, Watcher};
use micro_etcd_connection::{EtcdClient, KeyRange, WatchStream};

use crate::error;
use crate::seen::Seen;

/// Begins to watch what is under a prefix. Everything that is there already counts as known.
pub(crate) async fn watch(
    client: &Arc<EtcdClient>,
    prefix: String,
    service: Option<&str>,
) -> Result<Watcher> {
    let what = format!("the watch of {prefix}");
    let source = Source {
        client: client.clone(),
        prefix,
        seen: Seen::new(service),
        stream: None,
    };
    Watcher::follow(what, source).await
}

struct Source {
    client: Arc<EtcdClient>,
    prefix: String,
    seen: Seen,
    stream: Option<WatchStream>,
}

#[async_trait]
impl WatchSource for Source {
    /// Lists, and watches from the listing's revision on. To resume by the last revision that was seen would be wrong
    /// where etcd came back without its data, or with older ones: its revisions mean something else then, and nothing
    /// in its answers tells.
    async fn begin(&mut self) -> Result<Vec<ServiceRecord>> {
        self.stream = None;
        let range = KeyRange::prefixed(&self.prefix);
        let (listing, revision) = self.client.list(&range, true).await?;
        self.stream = Some(self.client.watch(&range, revision + 1).await?);
        Ok(self.seen.replace(listing))
    }

    async fn next(&mut self) -> Result<News> {
        let Some(stream) = &mut self.stream else {
            return Err(error::not_begun(&self.prefix));
        };
        let response = self.client.next(stream).await?;
        let events = response.events.into_iter();
        Ok(News::Changes(
            events.flat_map(|event| self.seen.apply(event)).collect(),
        ))
    }
}
