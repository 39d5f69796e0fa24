//! The server process: `benches serve <peer>`.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use anyhow::{Result, anyhow};
use tokio::runtime::Runtime;
use tokio::task::spawn_blocking;

use crate::peers::{Hyper, Micro, OverGrpc, OverHttp, OverOneGrpc, OverTcp, Peer, PeerName, Tarpc, Tonic};

/// Serves until standard input ends, so that no server outlives the suite, however that ends.
pub(crate) fn run(runtime: &Runtime, peer: PeerName) -> Result<()> {
    match peer {
        PeerName::Hyper => serve::<Hyper>(runtime),
        PeerName::Tonic => serve::<Tonic>(runtime),
        PeerName::Micro => serve::<Micro<OverHttp>>(runtime),
        PeerName::Grpc => serve::<Micro<OverGrpc>>(runtime),
        PeerName::GrpcOne => serve::<Micro<OverOneGrpc>>(runtime),
        PeerName::Tarpc => serve::<Tarpc>(runtime),
        PeerName::Tcp => serve::<Micro<OverTcp>>(runtime),
    }
}

fn serve<P: Peer>(runtime: &Runtime) -> Result<()> {
    runtime.block_on(async {
        // The accept loop belongs on a worker: the main thread would be woken for each connection.
        let mut server = tokio::task::JoinSet::new();
        server.spawn(P::serve(announce));
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

fn announce(address: SocketAddr) {
    let mut output = io::stdout();
    // If nobody reads the address, standard input ends as well, and with it this process.
    let _ = writeln!(output, "{address}").and_then(|()| output.flush());
}
