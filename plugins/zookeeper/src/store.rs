//! Writing nodes: without locks, by versions. Who loses a race looks again.

use std::time::Duration;

use bytes::Bytes;
use micro_core::registry::{Node, ServiceRecord};
use micro_core::{Error, Result};

use crate::client::Client;
use crate::error::{self, Trouble};
use crate::held::Held;
use crate::record::{Paths, directory, is_of, read, write};
use crate::requests::{ANY_VERSION, Acl, Code, Content, Life, Request, create, delete, exists, set_data};

/// How often to try to change a node that others change at the same time.
const ATTEMPTS: usize = 64;
/// How often a connection may break while one node is changed.
const BREAKS: usize = 3;

pub(crate) struct Store {
    pub(crate) client: Client,
    pub(crate) paths: Paths,
    pub(crate) acl: Acl,
    pub(crate) held: Held,
}

impl Store {
    /// Makes a node's record be there, in this session if it has a time to live.
    pub(crate) async fn register(
        &self,
        service: &ServiceRecord,
        node: &Node,
        path: &str,
        ttl: Option<Duration>,
    ) -> Result<()> {
        let registration = self.held.begin(path, ttl);
        let wanted = Wanted {
            service: &service.name,
            node: &node.id,
            path,
            value: write(service, node)?.into(),
            life: match ttl {
                Some(_) => Life::Ephemeral,
                None => Life::Persistent,
            },
            must_write: registration.must_write(),
        };
        let mut breaks = BREAKS;
        for _ in 0..ATTEMPTS {
            if done(self.put(&wanted).await, &mut breaks)? {
                registration.settle(wanted.value);
                return Ok(());
            }
        }
        Err(contended())
    }

    /// Takes a node's record out.
    pub(crate) async fn deregister(&self, service: &str, node: &str, path: &str) -> Result<()> {
        self.held.withdraw(path);
        let mut breaks = BREAKS;
        for _ in 0..ATTEMPTS {
            if done(self.take_out(service, node, path).await, &mut breaks)? {
                return Ok(());
            }
        }
        Err(contended())
    }

    /// Lets a node lapse that was not registered again. Nothing is done to what another session has by now.
    pub(crate) async fn lapse(&self, path: &str) {
        let lapsed = self.take_own(path).await;
        if let Err(trouble) = &lapsed {
            tracing::debug!("zookeeper: the node {path} should lapse and cannot yet: {trouble:?}");
        }
        self.held.lapsed(path, lapsed.is_ok());
    }

    /// Writes into a new session what lives on, so that an outage that was too long for the old one costs nobody more.
    /// Returns whether that is settled; if not, the connection broke or the server was late, and it is to be tried again.
    pub(crate) async fn restore(&self, path: &str, value: &[u8]) -> bool {
        let ephemeral = || create(path, value, &self.acl, Life::Ephemeral);
        let mut restored = self.client.ask(ephemeral()).await;
        if matches!(&restored, Err(trouble) if trouble.is(Code::NO_NODE)) {
            restored = match self.make_directory(path).await {
                Ok(()) => self.client.ask(ephemeral()).await,
                Err(trouble) => Err(trouble),
            };
        }
        let Err(trouble) = restored else {
            self.held.restored(path);
            return true;
        };
        tracing::debug!("zookeeper: the node {path} is not restored: {trouble:?}");
        if trouble.may_pass() {
            // It may have been written all the same.
            self.held.restored(path);
            return false;
        }
        // Somebody was faster, or the next registration does it.
        true
    }

    /// Puts the record. Returns whether it is there; otherwise somebody else was faster.
    async fn put(&self, wanted: &Wanted<'_>) -> Result<bool, Problem> {
        let Wanted {
            path, value, life, ..
        } = wanted;
        let known = self.client.content(path).await?;
        wanted.check_free(known.as_ref())?;
        let owner = match life {
            Life::Ephemeral => self.client.session(),
            _ => 0,
        };
        let create = create(path, value, &self.acl, *life);
        let changed = match known {
            Some(known) if known.owner == owner && known.data == value && !wanted.must_write => {
                return Ok(true);
            }
            Some(known) if known.owner == owner => self.ask(set_data(path, value, known.version)).await,
            Some(known) => self.client.all(&replace(&known, path, create, value)).await,
            None => match self.ask(create).await {
                Err(trouble) if trouble.is(Code::NO_NODE) => {
                    self.make_directory(path).await?;
                    return Ok(false);
                }
                created => created,
            },
        };
        was_first(changed)
    }

    /// Deletes the record, whoever has it. Returns whether it is gone; otherwise somebody changed it.
    async fn take_out(&self, service: &str, node: &str, path: &str) -> Result<bool, Problem> {
        let Some(known) = self.client.content(path).await? else {
            return Ok(true);
        };
        if read(path, &known.data).is_some_and(|record| !is_of(&record, service, node)) {
            return Ok(true);
        }
        if !was_first(self.ask(delete(path, known.version)).await)? {
            return Ok(false);
        }
        self.tidy(path).await;
        Ok(true)
    }

    async fn take_own(&self, path: &str) -> Result<(), Trouble> {
        let Some(known) = self.client.content(path).await? else {
            return Ok(());
        };
        if known.owner != self.client.session() || !self.held.is_due(path) {
            return Ok(());
        }
        match self.ask(delete(path, known.version)).await {
            Ok(()) => {
                self.tidy(path).await;
                Ok(())
            }
            Err(trouble) if trouble.is(Code::NO_NODE) || trouble.is(Code::BAD_VERSION) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Deletes a node's directory if nothing is left in it. Who makes a node there just now makes it again.
    async fn tidy(&self, path: &str) {
        let directory = directory(path);
        match self.ask(delete(directory, ANY_VERSION)).await {
            Err(trouble) if !trouble.is(Code::NOT_EMPTY) && !trouble.is(Code::NO_NODE) => {
                tracing::debug!("zookeeper: the empty node {directory} stays: {trouble:?}");
            }
            _ => {}
        }
    }

    /// Makes the directory of a node. It is a container, which the server deletes when it is empty for a while.
    async fn make_directory(&self, path: &str) -> Result<(), Trouble> {
        let directory = directory(path);
        match self.make(directory, Life::Container).await {
            Err(trouble) if trouble.is(Code::NO_NODE) => {}
            made => return made,
        }
        for above in self.paths.above() {
            // Where it is there already, making it may be forbidden.
            match self.client.look(exists(above)).await {
                Ok(_) => {}
                Err(trouble) if trouble.is(Code::NO_NODE) => self.make(above, Life::Persistent).await?,
                Err(trouble) => return Err(trouble),
            }
        }
        match self.make(directory, Life::Container).await {
            // Somebody deletes it all; whoever asked looks again.
            Err(trouble) if trouble.is(Code::NO_NODE) => Ok(()),
            made => made,
        }
    }

    async fn make(&self, path: &str, life: Life) -> Result<(), Trouble> {
        match self.ask(create(path, b"", &self.acl, life)).await {
            Err(trouble) if trouble.is(Code::NODE_EXISTS) => Ok(()),
            made => made,
        }
    }

    async fn ask(&self, request: Request) -> Result<(), Trouble> {
        self.client.ask(request).await.map(drop)
    }
}

/// Why an attempt failed.
enum Problem {
    Trouble(Trouble),
    Error(Error),
}

impl From<Trouble> for Problem {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Whether an attempt was the last. A connection that broke in mid-way says nothing of what was done: look again.
fn done(attempt: Result<bool, Problem>, breaks: &mut usize) -> Result<bool> {
    match attempt {
        Ok(done) => Ok(done),
        Err(Problem::Trouble(Trouble::Lost { .. })) if *breaks > 0 => {
            *breaks -= 1;
            Ok(false)
        }
        Err(Problem::Trouble(trouble)) => Err(trouble.into()),
        Err(Problem::Error(error)) => Err(error),
    }
}

/// Whether a change was made, or somebody changed the node before.
fn was_first(changed: Result<(), Trouble>) -> Result<bool, Problem> {
    match changed {
        Ok(()) => Ok(true),
        Err(trouble)
            if trouble.is(Code::NO_NODE)
                || trouble.is(Code::NODE_EXISTS)
                || trouble.is(Code::BAD_VERSION) =>
        {
            Ok(false)
        }
        Err(trouble) => Err(trouble.into()),
    }
}

/// What makes a node another session's, or nobody's. Its version is another than before, so that whoever read it
/// before cannot delete the new one by mistake.
fn replace(known: &Content, path: &str, create: Request, value: &[u8]) -> Vec<Request> {
    let mut parts = vec![delete(path, known.version), create];
    if known.version == 0 {
        parts.push(set_data(path, value, 0));
    }
    parts
}

/// One node as it is to be at its path.
struct Wanted<'a> {
    service: &'a str,
    node: &'a str,
    path: &'a str,
    value: Bytes,
    life: Life,
    must_write: bool,
}

impl Wanted<'_> {
    /// Go Micro's paths write a dash for a slash, so that two names can mean one path.
    fn check_free(&self, known: Option<&Content>) -> Result<()> {
        match known.and_then(|known| read(self.path, &known.data)) {
            Some(record) if !is_of(&record, self.service, self.node) => Err(error::taken(format!(
                "it is taken by service {}, node {}, whose names differ in slashes and dashes only; rename one",
                record.name,
                record.nodes.first().map_or("", |node| node.id.as_str()),
            ))),
            _ => Ok(()),
        }
    }
}

fn contended() -> Error {
    error::taken("others change the node again and again; does another one have the same id?")
}
