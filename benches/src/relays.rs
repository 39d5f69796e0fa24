//! The servers that stand between some peers' processes: those that were named, or else such as are started when they are
//! first needed, and end with the suite.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use servers::{Kind, Server};

use crate::options::Options;
use crate::peers::PeerName;
use crate::suite::progress;

pub(crate) struct Relays {
    named: Vec<(Kind, SocketAddr)>,
    started: Vec<Server>,
}

impl Relays {
    /// Those that the user named. None is started yet.
    pub(crate) fn new(options: &Options) -> Self {
        let named = [(Kind::Nats, options.nats), (Kind::Rabbitmq, options.rabbitmq)];
        Self {
            named: named
                .into_iter()
                .filter_map(|(kind, address)| Some((kind, address?)))
                .collect(),
            started: Vec::new(),
        }
    }

    /// Where the peer's is, if it has one.
    pub(crate) async fn of(&mut self, peer: PeerName) -> Result<Option<SocketAddr>> {
        let Some(kind) = peer.relay() else { return Ok(None) };
        if let Some((_, address)) = self.named.iter().find(|(named, _)| *named == kind) {
            return Ok(Some(*address));
        }
        if let Some(server) = self.started.iter().find(|server| server.kind() == kind) {
            return Ok(Some(server.address()));
        }
        progress(&format!("{kind}: begin"));
        let server = Server::start(kind).await;
        let server =
            server.with_context(|| format!("there is no {kind} for {peer}; --{kind} ADDRESS names one"))?;
        let address = server.address();
        self.started.push(server);
        Ok(Some(address))
    }
}
