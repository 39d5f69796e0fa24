//! Watching: what comes, changes, goes and lapses.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use micro_core::Result;
use micro_core::registry::{News, ServiceRecord, WatchSource};
use micro_kubernetes_connection::Feed;
use tokio::time::sleep;

use crate::config::EndpointSlices;
use crate::objects::{EndpointSlice, Pod};
use crate::record::{Told, now, unique};
use crate::registry::Shared;
use crate::{record, slices};

/// A clock that was put right may make something lapse earlier than was thought.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// What the pods tell, and where they tell nothing, Kubernetes' own endpoints.
pub(crate) struct Source {
    service: Option<String>,
    pods: Feed<Pod, Vec<Told>>,
    slices: Option<Feed<EndpointSlice, ServiceRecord>>,
}

impl Source {
    /// # Errors
    ///
    /// When there can be no service of the name.
    pub(crate) fn new(shared: &Arc<Shared>, service: Option<&str>) -> Result<Self> {
        let keys = service.map(record::Keys::new).transpose()?;
        let reader = shared.clone();
        let of = keys.clone();
        let make = move |pod: &Pod| reader.told(pod, of.as_ref());
        let pods = Feed::new(
            shared.client.clone(),
            shared.pods(keys.as_ref()),
            make,
            |before, after| is_refresh(before, after),
        );
        let slices = service.and_then(|service| Some((service.to_owned(), shared.slices(service)?)));
        let slices = slices.map(|(service, (query, wanted))| {
            let wanted: EndpointSlices = wanted.clone();
            let make = move |slice: &EndpointSlice| {
                let record = slices::record(&service, slice, &wanted);
                Some(record).filter(|record| !record.nodes.is_empty())
            };
            Feed::new(shared.client.clone(), query, make, |before, now| before == now)
        });
        Ok(Self {
            service: service.map(str::to_owned),
            pods,
            slices,
        })
    }

    /// The nodes that pods tell of now.
    fn live(&self) -> Vec<ServiceRecord> {
        let now = now();
        let records = self.pods.kept().flatten().flat_map(|told| told.live(now));
        // Names that differ in replaced characters share a label.
        let is_wanted = |record: &ServiceRecord| {
            self.service
                .as_ref()
                .is_none_or(|service| *service == record.name)
        };
        unique(records.filter(is_wanted))
    }

    fn listing(&self) -> Vec<ServiceRecord> {
        let live = self.live();
        match &self.slices {
            Some(slices) if live.is_empty() => unique(slices.kept().cloned()),
            _ => live,
        }
    }

    /// How long until the next node lapses.
    fn until_lapse(&self) -> Option<Duration> {
        let now = now();
        let next = self
            .pods
            .kept()
            .flatten()
            .filter_map(|told| told.next_lapse(now))
            .min()?;
        Some(Duration::from_millis(next.saturating_sub(now)).min(LONGEST_SLEEP))
    }
}

#[async_trait]
impl WatchSource for Source {
    async fn begin(&mut self) -> Result<Vec<ServiceRecord>> {
        self.pods.begin().await?;
        if let Some(slices) = &mut self.slices {
            slices.begin().await?;
        }
        Ok(self.listing())
    }

    async fn next(&mut self) -> Result<News> {
        let until_lapse = self.until_lapse();
        let lapse = async {
            match until_lapse {
                Some(until) => sleep(until).await,
                None => std::future::pending().await,
            }
        };
        let slices = async {
            match &mut self.slices {
                Some(slices) => slices.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            told = self.pods.next() => told?,
            told = slices => told?,
            () = lapse => {}
        }
        Ok(News::Listing(self.listing()))
    }
}

/// Whether nodes were only registered again, as most of what pods tell is. What lapses earlier than before is more: it
/// has to be waited for.
fn is_refresh(before: &[Told], after: &[Told]) -> bool {
    let now = now();
    let live =
        |told: &'_ [Told]| -> Vec<ServiceRecord> { told.iter().flat_map(|told| told.live(now)).collect() };
    let lapses = |told: &[Told]| {
        told.iter()
            .filter_map(|told| told.next_lapse(now))
            .min()
            .unwrap_or(u64::MAX)
    };
    lapses(before) <= lapses(after) && live(before) == live(after)
}

#[cfg(test)]
mod tests {
    use micro_core::registry::Node;

    use super::*;

    #[test]
    fn registering_again_is_a_refresh_unless_it_shortens_the_time_to_live() {
        let told = |expires, address: &str| {
            let mut told = Told::default();
            let record = ServiceRecord::new("greeter", "1").with_nodes(vec![Node::new("a", address)]);
            told.put(&record, expires);
            vec![told]
        };
        let soon = now() + 10_000;
        assert!(is_refresh(&told(Some(soon), "x"), &told(Some(soon + 1), "x")));
        assert!(is_refresh(&told(Some(soon), "x"), &told(None, "x")));
        assert!(!is_refresh(&told(Some(soon), "x"), &told(Some(soon - 1), "x")));
        assert!(!is_refresh(&told(Some(soon), "x"), &told(Some(soon), "y")));
        assert!(
            !is_refresh(&told(Some(1), "x"), &told(Some(soon), "x")),
            "it had lapsed"
        );
    }
}
