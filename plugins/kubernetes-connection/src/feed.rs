//! Objects of one kind, listed and then watched.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use micro_core::Result;
use micro_core::backend::Role;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::client::{Client, WatchBody};
use crate::error::{self, KUBERNETES};
use crate::objects::{Event, EventKind, List, Metadata, Object, Status};

/// The longest line of a watch. etcd keeps no object of more than 1.5 MiB.
const LONGEST_LINE: usize = 16 * 1024 * 1024;
/// After about this long the server ends a watch, which then goes on with another request.
const ENDS_AFTER: Duration = Duration::from_secs(270);
/// How much later than that its silence is believed to be a broken connection.
const GRACE: Duration = Duration::from_secs(30);
/// A watch that ends sooner has gone wrong, whatever it told: going on with another at once could go on for ever.
const SOON: Duration = Duration::from_secs(1);

/// Which objects are listed and watched.
#[derive(Debug, Clone)]
pub struct Query {
    /// `api/v1`.
    pub group: &'static str,
    /// `pods`.
    pub resource: &'static str,
    /// The selectors, as they stand in a query.
    pub selectors: String,
    /// What a listing is to be like, and what the objects of a watch are to be like.
    pub accept: (&'static str, &'static str),
    /// The rights that it needs, for who lacks them: `list and watch on pods`.
    pub grant: Cow<'static, str>,
}

impl Query {
    /// Lists them. May be cancelled.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub async fn list<T: Object>(&self, client: &Client) -> Result<List<T>> {
        let query = format!("?{}", self.selectors);
        client
            .get(
                client.path(self.group, self.resource, &query),
                self.accept.0,
                &self.grant,
            )
            .await
    }

    async fn watch(&self, client: &Client, version: &str) -> Result<Lines> {
        let seconds = ENDS_AFTER.as_secs() + fastrand::u64(0..60);
        let query = format!(
            "?{}&watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={version}",
            self.selectors
        );
        let path = client.path(self.group, self.resource, &query);
        let begun = Instant::now();
        Ok(Lines {
            body: client.watch(path, self.accept.1, &self.grant).await?,
            buffer: BytesMut::new(),
            begun,
            until: begun + Duration::from_secs(seconds) + GRACE,
        })
    }
}

/// What is made of each object; objects of which nothing is made are not kept.
type Make<T, K> = Box<dyn Fn(&T) -> Option<K> + Send + Sync>;

/// Whether what is made of an object now, behind what was made of it before, is nothing to tell of.
type IsSame<K> = fn(&K, &K) -> bool;

/// What is there now of one kind of objects: what is made of each, of those of which something is made. Nothing happens
/// but while one of its futures is awaited.
pub struct Feed<T, K> {
    client: Arc<Client>,
    query: Query,
    make: Make<T, K>,
    is_same: IsSame<K>,
    /// By the name of the object.
    kept: BTreeMap<String, K>,
    version: String,
    lines: Option<Lines>,
}

impl<T: Object, K> Feed<T, K> {
    /// Keeps what `make` makes of each object. `is_same` says of what was made of an object before and now whether it is
    /// nothing to tell of.
    pub fn new(
        client: Arc<Client>,
        query: Query,
        make: impl Fn(&T) -> Option<K> + Send + Sync + 'static,
        is_same: IsSame<K>,
    ) -> Self {
        Self {
            client,
            query,
            make: Box::new(make),
            is_same,
            kept: BTreeMap::new(),
            version: String::new(),
            lines: None,
        }
    }

    /// What was made of all objects, in the order of their names.
    pub fn kept(&self) -> impl Iterator<Item = &K> {
        self.kept.values()
    }

    /// Lists, and watches from the listing's version on.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub async fn begin(&mut self) -> Result<()> {
        self.lines = None;
        let listed: List<T> = self.query.list(&self.client).await?;
        self.kept.clear();
        for object in listed.items.unwrap_or_default() {
            self.keep(&object);
        }
        self.version = listed.metadata.resource_version;
        self.lines = Some(self.query.watch(&self.client, &self.version).await?);
        Ok(())
    }

    /// Waits until something is another. May be cancelled; nothing is lost then.
    ///
    /// # Errors
    ///
    /// When only beginning again helps.
    pub async fn next(&mut self) -> Result<()> {
        loop {
            let lines = match &mut self.lines {
                Some(lines) => lines,
                None => self
                    .lines
                    .insert(self.query.watch(&self.client, &self.version).await?),
            };
            let (role, address) = (self.client.role(), self.client.address());
            match lines.next(role, address).await? {
                Some(line) => {
                    if self.apply(&line)? {
                        return Ok(());
                    }
                }
                None if lines.begun.elapsed() < SOON => {
                    return Err(error::ended(role, address, "it lasted for less than a second"));
                }
                None => self.lines = None,
            }
        }
    }

    /// Takes one event. Returns whether something is another now.
    fn apply(&mut self, line: &[u8]) -> Result<bool> {
        let (role, address) = (self.client.role(), self.client.address());
        let wrong = |problem| {
            let place = error::place(&problem);
            KUBERNETES.unexpected(
                role,
                address,
                format_args!("told a watch what is no event, {place}"),
            )
        };
        let event: Event<'_> = serde_json::from_slice(line).map_err(wrong)?;
        let object = event.object.get();
        match event.kind {
            EventKind::Error => {
                let status: Status = serde_json::from_str(object).map_err(wrong)?;
                let (code, message) = (status.code, status.message);
                Err(error::refused(role, address, code, &message, &self.query.grant))
            }
            EventKind::Bookmark => {
                let bookmark: Bookmark = serde_json::from_str(object).map_err(wrong)?;
                self.version = bookmark.metadata.resource_version;
                Ok(false)
            }
            EventKind::Added | EventKind::Modified | EventKind::Deleted => {
                let object: T = serde_json::from_str(object).map_err(wrong)?;
                self.version.clone_from(&object.metadata().resource_version);
                Ok(match event.kind {
                    EventKind::Deleted => self.kept.remove(&object.metadata().name).is_some(),
                    _ => self.keep(&object),
                })
            }
        }
    }

    fn keep(&mut self, object: &T) -> bool {
        let name = &object.metadata().name;
        let Some(made) = (self.make)(object) else {
            return self.kept.remove(name).is_some();
        };
        let is_same = self
            .kept
            .get(name)
            .is_some_and(|kept| (self.is_same)(kept, &made));
        self.kept.insert(name.clone(), made);
        !is_same
    }
}

/// Says no more than up to where everything was told.
#[derive(Deserialize)]
struct Bookmark {
    #[serde(default)]
    metadata: Metadata,
}

/// The lines of a watch, of which each is an event.
struct Lines {
    body: WatchBody,
    buffer: BytesMut,
    begun: Instant,
    until: Instant,
}

impl Lines {
    /// The next line; None at the end. May be cancelled.
    async fn next(&mut self, role: Role, address: &str) -> Result<Option<BytesMut>> {
        // What was searched already is not searched again.
        let mut searched = 0;
        loop {
            if let Some(length) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(searched + length);
                self.buffer.advance(1);
                return Ok(Some(line));
            }
            searched = self.buffer.len();
            if searched > LONGEST_LINE {
                return Err(KUBERNETES.unexpected(
                    role,
                    address,
                    format_args!("told a watch an event of more than {LONGEST_LINE} bytes"),
                ));
            }
            match timeout_at(self.until, self.body.body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    let data = frame.data_ref().map_or(&[][..], |data| data);
                    self.buffer.extend_from_slice(data);
                }
                Ok(Some(Err(problem))) => return Err(error::away(role, address, &problem)),
                Ok(None) => return Ok(None),
                Err(_) => return Err(error::ended(role, address, "it was silent for too long")),
            }
        }
    }
}
