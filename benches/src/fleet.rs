//! The processes that run at one time: a server and a load process for each peer.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::command::{Answer, CallResult, Command, StreamResult, parse_answer};
use crate::peers::PeerName;
use crate::process::Process;
use crate::usage::cpu_nanoseconds;

/// All processes, so that one place can end them whatever happened.
#[derive(Default)]
pub(crate) struct Fleet {
    pairs: Vec<Pair>,
}

impl Fleet {
    /// Starts a server and a load process.
    pub(crate) async fn start(&mut self, peer: PeerName, many_files: bool) -> Result<()> {
        let name = peer.to_string();
        let mut server = Process::start_role(&["serve", &name], many_files)?;
        let address = server.hear().await?;
        let load = Process::start_role(&["load", &name, address.trim()], many_files)?;
        self.pairs.push(Pair { peer, server, load });
        Ok(())
    }

    /// The peer's processes.
    pub(crate) fn of(&mut self, peer: PeerName) -> Result<&mut Pair> {
        let found = self.pairs.iter_mut().find(|pair| pair.peer == peer);
        found.with_context(|| format!("{peer} was not started"))
    }

    /// Ends all processes and waits until they are gone.
    pub(crate) async fn stop(&mut self) {
        for pair in self.pairs.drain(..) {
            pair.load.stop().await;
            pair.server.stop().await;
        }
    }
}

/// A peer's server and load process.
pub(crate) struct Pair {
    peer: PeerName,
    server: Process,
    load: Process,
}

impl Pair {
    /// The ids of both processes, the server's first.
    pub(crate) fn ids(&self) -> [u32; 2] {
        [self.server.id(), self.load.id()]
    }

    /// CPU time of both processes so far, in nanoseconds.
    pub(crate) fn cpu_nanoseconds(&self) -> Result<u64> {
        self.ids().into_iter().map(cpu_nanoseconds).sum()
    }

    /// Has the load process obey a command.
    pub(crate) async fn obey(&mut self, command: Command) -> Answer {
        self.load.tell(&command.to_string()).await?;
        let answer = parse_answer(&self.load.hear().await?);
        answer.with_context(|| format!("`{command}` failed for {}", self.peer))
    }

    /// Calls for a time.
    pub(crate) async fn call(&mut self, size: usize, time: Duration) -> Result<CallResult> {
        self.obey(Command::Call { size, time }).await?.try_into()
    }

    /// Exchanges streams for a time.
    pub(crate) async fn stream(&mut self, size: usize, time: Duration) -> Result<StreamResult> {
        self.obey(Command::Stream { size, time }).await?.try_into()
    }
}
