//! Watching one service: asks again when its records' time to live has passed.

use std::sync::Arc;

use async_trait::async_trait;
use micro_core::Result;
use micro_core::registry::{News, Node, ServiceRecord, WatchSource};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::error;
use crate::lookup::{Answer, Resolver};

pub(crate) struct WatchOne {
    resolver: Arc<Resolver>,
    service: String,
    nodes: Vec<Node>,
    again: Instant,
}

impl WatchOne {
    pub(crate) fn new(resolver: Arc<Resolver>, service: &str) -> Self {
        Self {
            resolver,
            service: service.to_owned(),
            nodes: Vec::new(),
            again: Instant::now(),
        }
    }

    /// Asks in a task, because the resolver's questions wait for each other: one that nobody reads on, as a watcher's may
    /// be left, would hold up the others.
    async fn ask(&self) -> Result<Answer> {
        let (resolver, service) = (self.resolver.clone(), self.service.clone());
        let mut asking = JoinSet::new();
        asking.spawn(async move { resolver.look_up(&service).await });
        match asking.join_next().await {
            Some(Ok(answer)) => answer,
            _ => Err(error::interrupted(&self.service)),
        }
    }

    async fn list(&mut self) -> Result<Vec<ServiceRecord>> {
        let answer = self.ask().await?;
        let config = self.resolver.config();
        let lasts = match answer.unanswered.is_empty() {
            true => answer.ttl.clamp(config.min_refresh, config.max_refresh),
            false => config.min_refresh,
        };
        self.again = Instant::now() + lasts;
        let nodes = with_unanswered(std::mem::take(&mut self.nodes), answer);
        self.nodes.clone_from(&nodes);
        if nodes.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![
            ServiceRecord::new(&self.service, &config.version).with_nodes(nodes),
        ])
    }
}

#[async_trait]
impl WatchSource for WatchOne {
    async fn begin(&mut self) -> Result<Vec<ServiceRecord>> {
        self.list().await
    }

    async fn next(&mut self) -> Result<News> {
        sleep_until(self.again).await;
        self.list().await.map(News::Listing)
    }
}

/// The nodes of the answer, and those known before whose host nobody could tell the addresses of: that a name server
/// has trouble with one host does not mean that its node is gone.
fn with_unanswered(known: Vec<Node>, answer: Answer) -> Vec<Node> {
    let of = |node: &Node, target: &String| {
        let rest = node.id.strip_prefix(target.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut nodes = answer.nodes;
    let kept = known
        .into_iter()
        .filter(|node| answer.unanswered.iter().any(|target| of(node, target)));
    nodes.extend(kept);
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_a_host_that_could_not_be_asked_for_stay() {
        let node = |id: &str| Node::new(id, "127.0.0.1:1");
        let known = ["a:1", "b:1/1.1.1.1", "b:1/2.2.2.2", "b:12", "c:1"]
            .map(node)
            .to_vec();
        let answer = Answer {
            nodes: vec![node("a:1")],
            unanswered: vec!["b:1".to_owned()],
            ..Answer::default()
        };
        let ids: Vec<String> = with_unanswered(known, answer)
            .into_iter()
            .map(|node| node.id)
            .collect();
        assert_eq!(ids, ["a:1", "b:1/1.1.1.1", "b:1/2.2.2.2"]);
    }
}
