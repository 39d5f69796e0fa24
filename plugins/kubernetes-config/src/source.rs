//! Reading and following one object.

use std::fmt;
use std::future::pending;
use std::sync::Arc;

use async_trait::async_trait;
use micro_config::{Document, Error, ErrorKind, Result, Source};
use micro_kubernetes_connection::{Client, Feed, OBJECT, Query};

use crate::config::{KubernetesSourceConfig, ObjectKind};
use crate::error::{self, ROLE};
use crate::object::{Entries, Holder, documents};

/// Configuration from a ConfigMap or a Secret, which is read through the API and followed live.
///
/// It connects when it is read, so that a server that is away is an error of reading. It has no task of its own but those
/// of its connections, which end with it.
pub struct KubernetesSource {
    kind: ObjectKind,
    /// `shop/greeter`.
    name: String,
    address: String,
    feed: Feed<Holder, Entries>,
    state: State,
}

/// What is known since the last reading began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing: it failed, or there was none.
    Unread,
    /// The feed tells of every change.
    Followed,
    /// There may be something else by now.
    Changed,
}

impl KubernetesSource {
    /// A source that has not connected yet.
    ///
    /// # Errors
    ///
    /// Of the kind [`Misused`](ErrorKind::Misused), when the configuration makes no sense.
    pub fn new(config: KubernetesSourceConfig) -> Result<Self> {
        config.check()?;
        let client = Client::new(&config.server, ROLE).map_err(error::told)?;
        let resource = config.kind.resource();
        let query = Query {
            group: "api/v1",
            resource,
            // With a selector of the name, a role may be about this one object.
            selectors: format!("fieldSelector=metadata.name={}", config.name),
            accept: (OBJECT, OBJECT),
            grant: format!(
                "list and watch on {resource} (apiGroups: [\"\"], resources: [{resource}], resourceNames: [{}], verbs: \
                 [list, watch])",
                config.name
            )
            .into(),
        };
        let address = client.address().to_owned();
        let make = |holder: &Holder| Some(holder.data.clone().unwrap_or_default());
        Ok(Self {
            kind: config.kind,
            name: format!("{}/{}", config.server.namespace, config.name),
            address,
            feed: Feed::new(Arc::new(client), query, make, |before, now| before == now),
            state: State::Unread,
        })
    }

    /// What messages call the object.
    fn holder(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }
}

#[async_trait]
impl Source for KubernetesSource {
    async fn read(&mut self) -> Result<Vec<Document>> {
        self.state = State::Unread;
        let begun = self.feed.begin().await;
        begun.map_err(|problem| error::told(problem).context(self.holder()))?;
        // Also of an object that is not there: it is told of when somebody makes it.
        self.state = State::Followed;
        match self.feed.kept().next() {
            Some(entries) => Ok(documents(self.kind, entries, &self.holder())),
            None => Err(Error::new(
                ErrorKind::Missing,
                format_args!(
                    "there is no {} at kubernetes at {}; `kubectl create` makes one",
                    self.holder(),
                    self.address
                ),
            )),
        }
    }

    async fn changed(&mut self) -> Result<()> {
        match self.state {
            State::Followed => {}
            State::Changed => return Ok(()),
            // Only reading helps.
            State::Unread => return pending().await,
        }
        let next = self.feed.next().await;
        self.state = match next {
            Ok(()) => State::Changed,
            Err(_) => State::Unread,
        };
        next.map_err(|problem| error::told(problem).context(self.holder()))
    }
}

impl fmt::Display for KubernetesSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ObjectKind::ConfigMap => write!(formatter, "kubernetes {}", self.name),
            ObjectKind::Secret => write!(formatter, "kubernetes secret {}", self.name),
        }
    }
}

impl fmt::Debug for KubernetesSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KubernetesSource")
            .field("kind", &self.kind)
            .field("name", &self.name)
            .field("server", &self.address)
            .finish_non_exhaustive()
    }
}
