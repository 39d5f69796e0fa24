//! The nodes of a service, as the one who starts and ends them sees them.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::attempts::Attempts;
use crate::options::Sabotage;
use crate::process::Process;
use crate::site::Site;

/// How long a node may take to stop: its notice, its grace, and then some.
const LONGEST_STOP: Duration = Duration::from_secs(20);

/// What a node is like.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Kind {
    /// How long it works at each call.
    pub(crate) work: Duration,
    pub(crate) sabotage: Option<Sabotage>,
}

/// The running nodes of one service, each a process. They are killed when this is dropped.
pub(crate) struct Fleet {
    site: Site,
    service: String,
    kind: Kind,
    nodes: Vec<Node>,
    started: u64,
    ended: Vec<Ended>,
    ledgers: TempDir,
}

struct Node {
    id: String,
    process: Process,
}

/// A node that was ended, with times on the clock of the attempts.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// The node's id in the registry.
    pub(crate) id: String,
    /// When the signal was sent.
    pub(crate) signalled: Duration,
    /// When the process was gone.
    pub(crate) gone: Duration,
    /// Whether it ended in order.
    pub(crate) well: bool,
}

impl Node {
    /// Ends it with SIGKILL.
    async fn kill(&mut self, attempts: &Attempts) -> Result<Ended> {
        let signalled = attempts.now();
        self.process.kill()?;
        let ended = self.process.ended(LONGEST_STOP).await?;
        Ok(Ended {
            id: self.id.clone(),
            signalled,
            gone: attempts.now(),
            well: ended.is_some(),
        })
    }
}

impl Ended {
    /// From the signal to the end.
    pub(crate) fn took(&self) -> Duration {
        self.gone.saturating_sub(self.signalled)
    }
}

impl Fleet {
    /// Starts the nodes of a service, all of one kind.
    pub(crate) async fn start(site: Site, service: &str, count: u32, kind: Kind) -> Result<Self> {
        let ledgers = tempfile::tempdir().context("there is no place for the ledgers")?;
        let mut fleet = Self {
            site,
            service: service.to_owned(),
            kind,
            nodes: Vec::new(),
            started: 0,
            ended: Vec::new(),
            ledgers,
        };
        for _ in 0..count {
            fleet.add(kind).await?;
        }
        Ok(fleet)
    }

    /// One more node; ready when this returns.
    pub(crate) async fn add(&mut self, kind: Kind) -> Result<()> {
        let node = self.start_node(kind).await?;
        self.nodes.push(node);
        Ok(())
    }

    /// One more node while the registry is away. Ready when this returns, and to register once the registry is back.
    pub(crate) async fn add_in_the_dark(&mut self, kind: Kind) -> Result<()> {
        let node = self.start_process(kind, &["--start_without_registry"]).await?;
        self.nodes.push(node);
        Ok(())
    }

    /// Makes at a registry that has come back empty what must be there for nodes to register again.
    pub(crate) async fn admit_again(&self) -> Result<()> {
        for node in &self.nodes {
            self.site.admit(&node.id).await?;
        }
        Ok(())
    }

    /// Ends a node with SIGTERM, waits until it is gone, and starts another one in its place.
    pub(crate) async fn restart(&mut self, turn: u64, attempts: &Attempts) -> Result<()> {
        let at = self.at(turn);
        let node = &mut self.nodes[at];
        let signalled = attempts.now();
        node.process.terminate()?;
        let ended = node.process.ended(LONGEST_STOP).await?;
        self.ended.push(Ended {
            id: node.id.clone(),
            signalled,
            gone: attempts.now(),
            well: ended.is_some_and(|status| status.success()),
        });
        self.nodes[at] = self.start_node(self.kind).await?;
        Ok(())
    }

    /// Ends a node with SIGKILL, and starts another one in its place.
    pub(crate) async fn kill(&mut self, turn: u64, attempts: &Attempts) -> Result<()> {
        let at = self.at(turn);
        let ended = self.nodes[at].kill(attempts).await?;
        self.ended.push(ended);
        self.nodes[at] = self.start_node(self.kind).await?;
        Ok(())
    }

    /// Ends a node with SIGKILL, and lets nobody take its place.
    pub(crate) async fn kill_for_good(&mut self, node: &str, attempts: &Attempts) -> Result<Ended> {
        let at = self.nodes.iter().position(|known| known.id == node);
        let at = at.with_context(|| format!("there is no node {node}"))?;
        let ended = self.nodes.remove(at).kill(attempts).await?;
        self.ended.push(ended.clone());
        Ok(ended)
    }

    /// The ids of the running nodes, in the order of their start.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.id.clone()).collect()
    }

    /// The nodes that were ended on purpose, in that order.
    pub(crate) fn ended(&self) -> &[Ended] {
        &self.ended
    }

    /// Where the ledgers are.
    pub(crate) fn ledgers(&self) -> &Path {
        self.ledgers.path()
    }

    fn at(&self, turn: u64) -> usize {
        (turn % self.nodes.len() as u64) as usize
    }

    async fn start_node(&mut self, kind: Kind) -> Result<Node> {
        self.site.admit(&self.name(self.started)).await?;
        self.start_process(kind, &[]).await
    }

    /// The id in the registry of the node with that number.
    fn name(&self, number: u64) -> String {
        format!("{}-{number}", self.service)
    }

    async fn start_process(&mut self, kind: Kind, more: &[&str]) -> Result<Node> {
        let name = self.name(self.started);
        let id = self.started.to_string();
        self.started += 1;
        let variables = self.site.variables(&name);
        let ledger = self.ledgers.path().join(&id);
        let mut arguments = vec![
            "node".to_owned(),
            format!("--service={}", self.service),
            format!("--id={id}"),
            format!("--ledger={}", ledger.display()),
            format!("--work={}", kind.work.as_millis()),
        ];
        arguments.extend(
            kind.sabotage
                .map(|sabotage| format!("--sabotage={}", sabotage.name())),
        );
        arguments.extend(
            variables
                .iter()
                .map(|(variable, _)| format!("--variables={variable}")),
        );
        arguments.push("--".to_owned());
        arguments.extend_from_slice(self.site.flags());
        arguments.extend(more.iter().map(|&flag| flag.to_owned()));
        let process = Process::start_ready_with(&arguments, &variables).await?;
        Ok(Node { id: name, process })
    }
}
