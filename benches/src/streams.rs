//! Streams: messages that go out and come back at the same time.

use anyhow::Result;

use crate::command::Command;
use crate::fleet::{Fleet, Pair};
use crate::options::Options;
use crate::peers::PeerName;
use crate::statistics::{median, median_ratio};
use crate::suite::{progress, remark};
use crate::table::{Table, precise, size, thousands};

/// Concurrent streams: alone, and as many as share a connection well.
const STREAMS: [usize; 2] = [1, 16];

/// One peer with one size and number of streams: a sample of each round.
struct Series {
    peer: PeerName,
    size: usize,
    streams: usize,
    messages_per_second: Vec<f64>,
    cpu_per_message: Vec<f64>,
}

/// Measures streams of the peers that have them, and gives the table.
pub(crate) async fn measure(options: &Options, fleet: &mut Fleet) -> Result<String> {
    let (peers, without): (Vec<_>, Vec<_>) = options.peers().into_iter().partition(|peer| peer.has_streams());
    for peer in without {
        remark(&format!("{peer} has no streams and is left out of that table"));
    }
    if peers.is_empty() {
        return Ok("No peer that was asked for has streams.\n".to_owned());
    }
    let mut series = all_series(options, &peers);
    for round in 0..options.rounds() {
        for peer in &peers {
            fleet.start(*peer, false).await?;
        }
        for cell in series.chunks_mut(peers.len()) {
            let first = round % cell.len();
            let (before, after) = cell.split_at_mut(first);
            for one in after.iter_mut().chain(before) {
                let place = format!("round {} of {}", round + 1, options.rounds());
                progress(&format!(
                    "streams: {place}: {}, {} streams, {}",
                    size(one.size),
                    one.streams,
                    one.peer
                ));
                one.sample(fleet.of(one.peer)?, options).await?;
            }
        }
        fleet.stop().await;
    }
    Ok(table(&series, &peers, options))
}

fn all_series(options: &Options, peers: &[PeerName]) -> Vec<Series> {
    let mut series = Vec::new();
    for size in options.sizes() {
        for streams in STREAMS {
            series.extend(peers.iter().map(|peer| Series {
                peer: *peer,
                size,
                streams,
                messages_per_second: Vec::new(),
                cpu_per_message: Vec::new(),
            }));
        }
    }
    series
}

impl Series {
    async fn sample(&mut self, pair: &mut Pair, options: &Options) -> Result<()> {
        pair.obey(Command::Connect {
            callers: self.streams,
        })
        .await?;
        pair.stream(self.size, options.warm_up()).await?;
        let cpu_before = pair.cpu_nanoseconds()?;
        let result = pair.stream(self.size, options.measured()).await?;
        let cpu = pair.cpu_nanoseconds()?.saturating_sub(cpu_before);
        pair.obey(Command::Close).await?;
        self.messages_per_second
            .push(result.messages as f64 / (result.nanoseconds as f64 / 1e9));
        self.cpu_per_message
            .push(cpu as f64 / 1e3 / result.messages as f64);
        Ok(())
    }
}

fn table(series: &[Series], peers: &[PeerName], options: &Options) -> String {
    let mut heads: Vec<String> = ["size", "streams", "peer", "messages/s", "CPU µs/message"]
        .map(str::to_owned)
        .into();
    heads.extend(peers.iter().map(|peer| format!("CPU ÷ {peer}")));
    let mut table = Table::new(heads);
    for cell in series.chunks(peers.len()) {
        for one in cell {
            let mut row = vec![
                size(one.size),
                one.streams.to_string(),
                one.peer.to_string(),
                thousands(median(one.messages_per_second.iter().copied())),
                precise(median(one.cpu_per_message.iter().copied())),
            ];
            row.extend(
                cell.iter()
                    .map(|other| precise(median_ratio(&one.cpu_per_message, &other.cpu_per_message))),
            );
            table.push(row);
        }
    }
    format!(
        "Stream echo, both directions at once, as fast as flow control allows: medians of {} interleaved rounds of {:?} \
         per cell. A message counts when it is back.\n\n{table}",
        options.rounds(),
        options.measured(),
    )
}
