//! Watching: what comes, changes, goes and lapses.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use micro_core::Result;
use micro_core::registry::{News, ServiceRecord, WatchSource};
use tokio::time::sleep;

use crate::config::EndpointSlices;
use crate::feed::Feed;
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
    /// What was told last of the pods.
    live: Vec<ServiceRecord>,
}

impl Source {
    /// # Errors
    ///
    /// When there can be no service of the name.
    pub(crate) fn new(shared: &Arc<Shared>, service: Option<&str>) -> Result<Self> {
        let keys = service.map(record::Keys::new).transpose()?;
        let reader = shared.clone();
        let of = keys.clone();
        let pods = Feed::new(shared.client.clone(), shared.pods(keys.as_ref()), move |pod| {
            reader.told(pod, of.as_ref())
        });
        let slices = service.and_then(|service| Some((service.to_owned(), shared.slices(service)?)));
        let slices = slices.map(|(service, (query, wanted))| {
            let wanted: EndpointSlices = wanted.clone();
            let make = move |slice: &EndpointSlice| {
                let record = slices::record(&service, slice, &wanted);
                Some(record).filter(|record| !record.nodes.is_empty())
            };
            Feed::new(shared.client.clone(), query, make)
        });
        Ok(Self {
            service: service.map(str::to_owned),
            pods,
            slices,
            live: Vec::new(),
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

    fn listing(&mut self) -> Vec<ServiceRecord> {
        self.live = self.live();
        match &self.slices {
            Some(slices) if self.live.is_empty() => unique(slices.kept().cloned()),
            _ => self.live.clone(),
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
        loop {
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
                told = slices => {
                    told?;
                    return Ok(News::Listing(self.listing()));
                }
                () = lapse => {}
            }
            // Most of what pods tell is that nodes were registered again.
            if self.live() != self.live {
                return Ok(News::Listing(self.listing()));
            }
        }
    }
}
