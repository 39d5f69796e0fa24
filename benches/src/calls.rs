//! Unary calls: the matrix of sizes and callers.

use anyhow::Result;

use crate::command::Command;
use crate::fleet::{Fleet, Pair};
use crate::options::Options;
use crate::peers::PeerName;
use crate::statistics::{median, median_ratio};
use crate::suite::{progress, remark};
use crate::table::{Table, known, microseconds, precise, size, thousands};

/// What all peers are measured with at one time.
#[derive(Clone, Copy)]
struct Cell {
    size: usize,
    callers: usize,
}

/// One peer in one cell of one round.
#[derive(Clone, Copy)]
struct Sample {
    calls_per_second: f64,
    p50: f64,
    p99: f64,
    cpu_per_call: f64,
}

/// One peer in one cell: a sample of each round, in the order of the rounds.
struct Series {
    peer: PeerName,
    cell: Cell,
    samples: Vec<Sample>,
    syscalls_per_call: Option<f64>,
}

/// Measures the matrix and gives the table.
pub(crate) async fn measure(options: &Options, fleet: &mut Fleet) -> Result<String> {
    let mut series = all_series(options);
    for round in 0..options.rounds() {
        for peer in options.peers() {
            fleet.start(peer, false).await?;
        }
        // Another peer begins in each round, so that none always follows the same one.
        for cell in series.chunks_mut(options.peers().len()) {
            let first = round % cell.len();
            let (before, after) = cell.split_at_mut(first);
            for one in after.iter_mut().chain(before).filter(|one| one.is_carried()) {
                progress(&format!(
                    "calls: round {} of {}: {}",
                    round + 1,
                    options.rounds(),
                    one.name()
                ));
                one.samples.push(one.sample(fleet.of(one.peer)?, options).await?);
            }
        }
        fleet.stop().await;
    }
    if options.syscalls
        && let Err(error) = count_syscalls(&mut series, options, fleet).await
    {
        remark(&format!("system calls are not counted: {error:#}"));
        fleet.stop().await;
    }
    Ok(table(&series, options))
}

/// All peers of a cell stand beside each other.
fn all_series(options: &Options) -> Vec<Series> {
    let mut series = Vec::new();
    for size in options.sizes() {
        for callers in options.callers() {
            let cell = Cell { size, callers };
            let of = |peer: &PeerName| Series {
                peer: *peer,
                cell,
                samples: Vec::new(),
                syscalls_per_call: None,
            };
            series.extend(options.peers().iter().map(of));
        }
    }
    series
}

/// A round of its own, since counting costs time in every system call.
async fn count_syscalls(series: &mut [Series], options: &Options, fleet: &mut Fleet) -> Result<()> {
    for peer in options.peers() {
        fleet.start(peer, false).await?;
    }
    for one in series.iter_mut().filter(|one| one.is_carried()) {
        progress(&format!("system calls: {}", one.name()));
        one.syscalls_per_call = Some(one.count_syscalls(fleet.of(one.peer)?, options).await?);
    }
    fleet.stop().await;
    Ok(())
}

impl Series {
    fn is_carried(&self) -> bool {
        self.peer.carries(self.cell.size)
    }

    fn name(&self) -> String {
        format!(
            "{}, {} callers, {}",
            size(self.cell.size),
            self.cell.callers,
            self.peer
        )
    }

    async fn sample(&self, pair: &mut Pair, options: &Options) -> Result<Sample> {
        pair.obey(Command::Connect {
            callers: self.cell.callers,
        })
        .await?;
        pair.call(self.cell.size, options.warm_up()).await?;
        let cpu_before = pair.cpu_nanoseconds()?;
        let result = pair.call(self.cell.size, options.measured()).await?;
        let cpu = pair.cpu_nanoseconds()?.saturating_sub(cpu_before);
        pair.obey(Command::Close).await?;
        Ok(Sample {
            calls_per_second: result.calls as f64 / (result.nanoseconds as f64 / 1e9),
            p50: result.p50 as f64 / 1e3,
            p99: result.p99 as f64 / 1e3,
            cpu_per_call: cpu as f64 / 1e3 / result.calls as f64,
        })
    }

    async fn count_syscalls(&self, pair: &mut Pair, options: &Options) -> Result<f64> {
        pair.obey(Command::Connect {
            callers: self.cell.callers,
        })
        .await?;
        pair.call(self.cell.size, options.warm_up()).await?;
        pair.start_counting().await?;
        let result = pair.call(self.cell.size, options.measured()).await?;
        let count = pair.finish_counting().await?;
        pair.obey(Command::Close).await?;
        Ok(count as f64 / result.calls as f64)
    }

    fn median(&self, value: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(value))
    }

    fn cpu(&self) -> Vec<f64> {
        self.samples.iter().map(|sample| sample.cpu_per_call).collect()
    }
}

fn table(series: &[Series], options: &Options) -> String {
    let mut heads: Vec<String> = [
        "size",
        "callers",
        "peer",
        "calls/s",
        "p50 µs",
        "p99 µs",
        "CPU µs/call",
    ]
    .map(str::to_owned)
    .into();
    heads.extend(options.peers().iter().map(|peer| format!("CPU ÷ {peer}")));
    let counted = series.iter().any(|one| one.syscalls_per_call.is_some());
    if counted {
        heads.push("system calls/call".to_owned());
    }
    let mut table = Table::new(heads);
    for cell in series.chunks(options.peers().len()) {
        for one in cell {
            let mut row = vec![
                size(one.cell.size),
                one.cell.callers.to_string(),
                one.peer.to_string(),
                known(one.median(|sample| sample.calls_per_second), thousands),
                known(one.median(|sample| sample.p50), microseconds),
                known(one.median(|sample| sample.p99), microseconds),
                known(one.median(|sample| sample.cpu_per_call), microseconds),
            ];
            row.extend(
                cell.iter()
                    .map(|other| known(median_ratio(&one.cpu(), &other.cpu()), precise)),
            );
            if counted {
                row.push(known(one.syscalls_per_call.unwrap_or(f64::NAN), precise));
            }
            table.push(row);
        }
    }
    let left_out = match series.iter().all(Series::is_carried) {
        true => "",
        false => "\nSizes with dashes are not carried by that peer.\n",
    };
    format!(
        "Unary echo: medians of {} interleaved rounds of {:?} per cell. CPU time is the client's and the server's together; \
         ratios are medians of the ratios within each round.\n\n{table}{left_out}",
        options.rounds(),
        options.measured(),
    )
}
