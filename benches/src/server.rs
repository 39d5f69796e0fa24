//! The server process: `benches serve <peer>`.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use anyhow::{Result, anyhow};
use tokio::runtime::Runtime;
use tokio::task::spawn_blocking;

use crate::peers::{
    Hyper, Lapin, Micro, Nats, OverGrpc, OverHttp, OverNats, OverOneGrpc, OverRabbitmq, OverTcp, OverUdp,
    Peer, PeerName, Tarpc, Tonic, Udp,
};

/// Serves until standard input ends, so that no server outlives the suite, however that ends.
pub(crate) fn run(runtime: &Runtime, peer: PeerName, relay: Option<SocketAddr>) -> Result<()> {
    match peer {
        PeerName::Hyper => serve::<Hyper>(runtime, relay),
        PeerName::Tonic => serve::<Tonic>(runtime, relay),
        PeerName::Micro => serve::<Micro<OverHttp>>(runtime, relay),
        PeerName::Grpc => serve::<Micro<OverGrpc>>(runtime, relay),
        PeerName::GrpcOne => serve::<Micro<OverOneGrpc>>(runtime, relay),
        PeerName::Tarpc => serve::<Tarpc>(runtime, relay),
        PeerName::Tcp => serve::<Micro<OverTcp>>(runtime, relay),
        PeerName::UdpRaw => serve::<Udp>(runtime, relay),
        PeerName::Udp => serve::<Micro<OverUdp>>(runtime, relay),
        PeerName::NatsRaw => serve::<Nats>(runtime, relay),
        PeerName::Nats => serve::<Micro<OverNats>>(runtime, relay),
        PeerName::RabbitmqRaw => serve::<Lapin>(runtime, relay),
        PeerName::Rabbitmq => serve::<Micro<OverRabbitmq>>(runtime, relay),
    }
}

fn serve<P: Peer>(runtime: &Runtime, relay: Option<SocketAddr>) -> Result<()> {
    runtime.block_on(async {
        // The accept loop belongs on a worker: the main thread would be woken for each connection.
        let mut server = tokio::task::JoinSet::new();
        server.spawn(P::serve(relay, announce));
        tokio::select! {
            ended = server.join_next() => match ended {
                Some(result) => result?,
                None => Err(anyhow!("the server was never started")),
            },
            end = spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())) => {
                end??;
                Ok(())
            }
        }
    })
}

fn announce(address: &dyn fmt::Display) {
    let mut output = io::stdout();
    // If nobody reads the address, standard input ends as well, and with it this process.
    let _ = writeln!(output, "{address}").and_then(|()| output.flush());
}
