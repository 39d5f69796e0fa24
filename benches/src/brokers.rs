//! Brokers, each beside the bare client library that does the same job at the same server: messages per second, and the
//! processor's time that a message costs the client.

mod bare;
mod ours;
mod side;

use std::net::SocketAddr;

use anyhow::{Context, Result};
use servers::{Kind, Server};

use crate::command::{StreamResult, parse_answer};
use crate::options::Options;
use crate::process::Process;
use crate::statistics::{median, median_ratio};
use crate::suite::progress;
use crate::table::{NONE, Table, microseconds, precise, thousands};
use crate::usage::cpu_nanoseconds;

pub(crate) use self::side::{SideName, run};

/// The body of a message, in bytes.
const SIZE: usize = 256;
/// Publishers, each of which waits for one message's confirmation before the next, and events that may be worked on at
/// once.
const CONCURRENCY: usize = 64;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contest {
    pub(crate) kind: Kind,
    /// NATS without JetStream.
    is_plain: bool,
}

impl std::str::FromStr for Contest {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let (kind, is_plain) = match name {
            "nats-plain" => (Ok(Kind::Nats), true),
            _ => (name.parse(), false),
        };
        let contest = kind.ok().map(|kind| Self { kind, is_plain });
        let known = contest.filter(|contest| contest.what_the_bare_does().is_some());
        known.ok_or_else(|| {
            format!("there is no broker {name:?} to measure; there are nats, nats-plain, rabbitmq, kafka, redis, nsq")
        })
    }
}

impl Contest {
    fn name(self) -> &'static str {
        if self.is_plain {
            "nats-plain"
        } else {
            self.kind.name()
        }
    }

    /// `None`: it is no broker.
    fn what_the_bare_does(self) -> Option<&'static str> {
        Some(match self.name() {
            "nats" => {
                "async-nats: JetStream in a file, publish with an id by which the stream drops what is sent twice, and wait \
                 for its acknowledgement; pull consumer, `ack` of each"
            }
            "nats-plain" => "async-nats: publish and flush; subscribe to a queue, nothing to acknowledge",
            "rabbitmq" => {
                "lapin: persistent messages to a durable queue of a topic exchange, each confirmed; consume, `ack` of each"
            }
            "kafka" => {
                "rdkafka: idempotent `FutureProducer`, each confirmed; `StreamConsumer`, the offset of each stored, \
                 committed every 100 ms"
            }
            "redis" => "redis: XADD; XREADGROUP of up to 64, XACK of each",
            "nsq" => "there is no bare client that others use",
            _ => return None,
        })
    }

    fn has_bare(self) -> bool {
        self.kind != Kind::Nsq
    }
}

/// Measures each, and gives the table and what the bare sides do.
pub(crate) async fn measure(options: &Options) -> Result<String> {
    let heads = [
        "broker",
        "messages/s",
        "bare messages/s",
        "CPU µs/message",
        "bare CPU µs/message",
        "CPU ratio",
    ];
    let mut table = Table::new(heads.map(str::to_owned).into());
    let mut notes = Vec::new();
    for contest in &options.brokers {
        let row = measure_one(*contest, options).await;
        table.push(row.with_context(|| format!("the broker {}", contest.name()))?);
        let what = contest.what_the_bare_does().unwrap_or(NONE);
        notes.push(format!("- bare {}: {what}", contest.name()));
    }
    Ok(format!(
        "{table}\n{SIZE} bytes a message, {CONCURRENCY} publishers that each wait for the confirmation, up to \
         {CONCURRENCY} events worked on at once, publishing and handling in one process; medians of {} rounds. CPU is \
         the whole process's, without the server. The bare side's message is the body alone, ours what Go Micro reads.\n\
         \n{}\n",
        options.rounds(),
        notes.join("\n")
    ))
}

async fn measure_one(contest: Contest, options: &Options) -> Result<Vec<String>> {
    progress(&format!("{}: begin", contest.name()));
    let server = Server::start(contest.kind).await?;
    let mut sides = vec![Side::start(contest, SideName::Ours, server.address()).await?];
    if contest.has_bare() {
        sides.push(Side::start(contest, SideName::Bare, server.address()).await?);
    }
    for round in 0..options.rounds() {
        progress(&format!(
            "{}: round {} of {}",
            contest.name(),
            round + 1,
            options.rounds()
        ));
        for side in &mut sides {
            side.exchange(options.warm_up().as_millis()).await?;
            let sample = side.sample(options.measured().as_millis()).await?;
            side.samples.push(sample);
        }
        // Whoever begins has no advantage.
        sides.rotate_left(1);
    }
    let of = |name: SideName| sides.iter().find(|side| side.name == name);
    let rates = |name| of(name).map(|side| side.median(|sample| sample.per_second));
    let costs = |name| of(name).map(|side| side.median(|sample| sample.cpu_each));
    let text = |number: Option<f64>, how: fn(f64) -> String| number.map_or(NONE.to_owned(), how);
    let each = |side: &Side| -> Vec<f64> { side.samples.iter().map(|sample| sample.cpu_each).collect() };
    let ratio = of(SideName::Ours).zip(of(SideName::Bare));
    let ratio = ratio.map(|(ours, bare)| median_ratio(&each(ours), &each(bare)));
    let row = vec![
        contest.name().to_owned(),
        text(rates(SideName::Ours), thousands),
        text(rates(SideName::Bare), thousands),
        text(costs(SideName::Ours), microseconds),
        text(costs(SideName::Bare), microseconds),
        text(ratio, precise),
    ];
    for side in sides {
        side.process.stop().await;
    }
    Ok(row)
}

/// A process that publishes and handles.
struct Side {
    name: SideName,
    process: Process,
    samples: Vec<Sample>,
}

struct Sample {
    per_second: f64,
    /// In microseconds.
    cpu_each: f64,
}

impl Side {
    async fn start(contest: Contest, name: SideName, server: SocketAddr) -> Result<Self> {
        let (side, address) = (name.to_string(), server.to_string());
        let mut process = Process::start_role(
            &["events", contest.name(), side.as_str(), address.as_str()],
            false,
        )?;
        process.hear().await?;
        Ok(Self {
            name,
            process,
            samples: Vec::new(),
        })
    }

    async fn exchange(&mut self, milliseconds: u128) -> Result<StreamResult> {
        self.process.tell(&milliseconds.to_string()).await?;
        parse_answer(&self.process.hear().await?)?.try_into()
    }

    async fn sample(&mut self, milliseconds: u128) -> Result<Sample> {
        let before = cpu_nanoseconds(self.process.id())?;
        let result = self.exchange(milliseconds).await?;
        let used = cpu_nanoseconds(self.process.id())?.saturating_sub(before);
        let messages = result.messages as f64;
        Ok(Sample {
            per_second: messages * 1e9 / result.nanoseconds as f64,
            cpu_each: used as f64 / 1e3 / messages,
        })
    }

    fn median(&self, what: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_brokers_are_measured() {
        for name in ["nats", "nats-plain", "kafka", "redis", "nsq"] {
            assert_eq!(name.parse::<Contest>().unwrap().name(), name);
        }
        let error = "etcd".parse::<Contest>().unwrap_err();
        assert!(
            error.contains("\"etcd\"") && error.contains("rabbitmq"),
            "{error}"
        );
    }
}
