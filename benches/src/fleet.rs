//! The processes that run at one time: a server and a load process for each peer.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::command::{Answer, CallResult, Command, StreamResult, parse_answer};
use crate::peers::PeerName;
use crate::process::Process;
use crate::relays::Relays;
use crate::syscalls::Counter;
use crate::usage::cpu_nanoseconds;

/// All processes, so that one place can end them whatever happened.
pub(crate) struct Fleet {
    pairs: Vec<Pair>,
    relays: Relays,
}

impl Fleet {
    /// No processes yet.
    pub(crate) fn new(relays: Relays) -> Self {
        Self {
            pairs: Vec::new(),
            relays,
        }
    }

    /// Starts a server and a load process.
    pub(crate) async fn start(&mut self, peer: PeerName, many_files: bool) -> Result<()> {
        let name = peer.to_string();
        let relay = self.relays.of(peer).await?;
        let relay = relay.map(|address| format!("--relay={address}"));
        let start = |words: &[&str]| {
            let words: Vec<&str> = words.iter().copied().chain(relay.as_deref()).collect();
            Process::start_role(&words, many_files)
        };
        let server = start(&["serve", &name])?;
        // It belongs to the fleet before anything is awaited, so that it is ended in order even after an interrupt.
        self.pairs.push(Pair {
            peer,
            server,
            load: None,
            counter: None,
        });
        let pair = self.of(peer)?;
        let address = pair.server.hear().await?;
        pair.load = Some(start(&["load", &name, address.trim()])?);
        Ok(())
    }

    /// The peer's processes.
    pub(crate) fn of(&mut self, peer: PeerName) -> Result<&mut Pair> {
        let found = self.pairs.iter_mut().find(|pair| pair.peer == peer);
        found.with_context(|| format!("{peer} was not started"))
    }

    /// Ends all processes and waits until they are gone. Servers in between stay for the next round.
    pub(crate) async fn stop(&mut self) {
        for pair in self.pairs.drain(..) {
            if let Some(counter) = pair.counter {
                counter.stop().await;
            }
            if let Some(load) = pair.load {
                load.stop().await;
            }
            pair.server.stop().await;
        }
    }
}

/// A peer's server and load process.
pub(crate) struct Pair {
    peer: PeerName,
    server: Process,
    load: Option<Process>,
    counter: Option<Counter>,
}

impl Pair {
    /// The ids of both processes, the server's first.
    pub(crate) fn ids(&self) -> Result<[u32; 2]> {
        let load = self
            .load
            .as_ref()
            .with_context(|| format!("{} has no load process yet", self.peer))?;
        Ok([self.server.id(), load.id()])
    }

    /// CPU time of both processes so far, in nanoseconds.
    pub(crate) fn cpu_nanoseconds(&self) -> Result<u64> {
        self.ids()?.into_iter().map(cpu_nanoseconds).sum()
    }

    /// Has the load process obey a command.
    pub(crate) async fn obey(&mut self, command: Command) -> Answer {
        let load = self
            .load
            .as_mut()
            .with_context(|| format!("{} has no load process yet", self.peer))?;
        load.tell(&command.to_string()).await?;
        let answer = parse_answer(&load.hear().await?);
        answer.with_context(|| format!("`{command}` failed for {}", self.peer))
    }

    /// Calls for a time.
    pub(crate) async fn call(&mut self, size: usize, time: Duration) -> Result<CallResult> {
        self.obey(Command::Call { size, time }).await?.try_into()
    }

    /// Counts the system calls of both processes from now on.
    pub(crate) async fn start_counting(&mut self) -> Result<()> {
        let counter = Counter::start(&self.ids()?)?;
        let counter = self.counter.insert(counter);
        counter.attach().await?;
        counter.enable().await
    }

    /// Gives the number of system calls since [`start_counting`](Self::start_counting).
    pub(crate) async fn finish_counting(&mut self) -> Result<u64> {
        let counter = self
            .counter
            .as_mut()
            .context("system calls are not being counted")?;
        let count = counter.finish().await;
        if let Some(counter) = self.counter.take() {
            counter.stop().await;
        }
        count
    }

    /// Exchanges streams for a time.
    pub(crate) async fn stream(&mut self, size: usize, time: Duration) -> Result<StreamResult> {
        self.obey(Command::Stream { size, time }).await?.try_into()
    }
}
