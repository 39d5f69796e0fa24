//! Idle connections: how much memory each takes.

use anyhow::Result;

use crate::command::Command;
use crate::fleet::{Fleet, Pair};
use crate::options::Options;
use crate::statistics::median;
use crate::suite::progress;
use crate::table::{Table, precise};
use crate::usage::resident_bytes;

/// Connections that are opened before the count begins, so that what a process allocates once is not counted.
const FIRST: usize = 50;

/// Measurements, each with fresh processes.
const ROUNDS: usize = 3;

/// Measures the growth of both processes and gives the table.
pub(crate) async fn measure(options: &Options, fleet: &mut Fleet) -> Result<String> {
    let heads = ["peer", "server KiB/connection", "client KiB/connection"].map(str::to_owned);
    let mut table = Table::new(heads.into());
    for peer in options.peers() {
        let mut growths = Vec::new();
        for round in 0..ROUNDS {
            progress(&format!(
                "idle connections: round {} of {ROUNDS}: {peer}",
                round + 1
            ));
            fleet.start(peer, true).await?;
            growths.push(growth(fleet.of(peer)?, options.connections()).await?);
            fleet.stop().await;
        }
        let [server, client] = [0, 1].map(|which| median(growths.iter().map(|growth| growth[which])));
        table.push(vec![peer.to_string(), precise(server), precise(client)]);
    }
    Ok(format!(
        "Resident memory of {} idle connections after one call of 16 B each: medians of {ROUNDS} rounds.\n\n{table}",
        options.connections()
    ))
}

/// The growth of the server's and the client's resident memory in KiB per connection.
async fn growth(pair: &mut Pair, connections: usize) -> Result<[f64; 2]> {
    pair.obey(Command::Idle { callers: FIRST }).await?;
    let before = resident(pair)?;
    pair.obey(Command::Idle { callers: connections }).await?;
    let after = resident(pair)?;
    Ok([0, 1].map(|which| (after[which] - before[which]) / 1024.0 / connections as f64))
}

fn resident(pair: &Pair) -> Result<[f64; 2]> {
    let [server, client] = pair.ids()?;
    Ok([resident_bytes(server)? as f64, resident_bytes(client)? as f64])
}
