//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::brokers::{Contest, SideName};
use crate::peers::PeerName;

/// Measure calls, streams and idle connections of several peers beside each other, registries and brokers
///
/// Without `--calls`, `--streams`, `--idle`, `--registries` or `--brokers` it measures calls. Markdown tables go to the standard output, progress to
/// the standard error.
#[derive(Parser, Debug)]
#[command(
    name = "benches",
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) role: Option<Role>,

    /// Measure unary calls: calls per second, latency and CPU time
    #[arg(long)]
    pub(crate) calls: bool,

    /// Measure streams that echo in both directions: messages per second and CPU time
    #[arg(long)]
    pub(crate) streams: bool,

    /// Measure the memory of idle connections
    #[arg(long)]
    pub(crate) idle: bool,

    /// Measure registries beside each other, each with a server of its own where it has one: mdns, gossip, consul,
    /// etcd, zookeeper, kubernetes
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) registries: Vec<String>,

    /// Measure brokers beside their bare client libraries, each with a server of its own: nats, nats-plain (without
    /// JetStream), rabbitmq, kafka, redis, nsq
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) brokers: Vec<Contest>,

    /// Count system calls per call too, in one extra round; needs perf and the right to trace
    #[arg(long)]
    pub(crate) syscalls: bool,

    /// Make a smoke run: few, short rounds of a small matrix
    #[arg(long)]
    quick: bool,

    /// Peers to compare
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAMES",
        default_value = "hyper,tonic,micro"
    )]
    peers: Vec<PeerName>,

    /// Message sizes, with or without KiB [default: 16,1KiB,64KiB; quick: 16,64KiB]
    #[arg(long, value_delimiter = ',', value_name = "SIZES", value_parser = size)]
    sizes: Option<Vec<usize>>,

    /// Numbers of concurrent callers [default: 1,16,64,256; quick: 1,16]
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS", value_parser = number)]
    callers: Option<Vec<usize>>,

    /// Interleaved rounds [default: 9; quick: 3]
    #[arg(long, value_name = "NUMBER", value_parser = number)]
    rounds: Option<usize>,

    /// Measured time of one peer in one cell of one round [default: 0.5; quick: 0.2]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    seconds: Option<Duration>,

    /// Time that precedes it, with the same load, unmeasured [default: 0.2; quick: 0.1]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    warm_up: Option<Duration>,

    /// Call over this NATS, instead of one that is started for the peers `nats` and `nats-raw`
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) nats: Option<SocketAddr>,

    /// Call over this RabbitMQ, instead of one that is started for the peers `rabbitmq` and `rabbitmq-raw`
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) rabbitmq: Option<SocketAddr>,

    /// Connections for `--idle` [default: 2000; quick: 200]
    #[arg(long, value_name = "NUMBER", value_parser = number)]
    connections: Option<usize>,
}

/// What one of the suite's own processes does. Each ends when its standard input does.
#[derive(Subcommand, Debug)]
pub(crate) enum Role {
    /// Be a peer's server (the suite starts it): print the address, serve until standard input ends
    Serve {
        /// Whose server
        peer: PeerName,
        /// Where the server in between is, of peers that have one
        #[arg(long)]
        relay: Option<SocketAddr>,
    },
    /// Be a peer's client (the suite starts it): obey the commands on standard input
    Load {
        /// Whose client
        peer: PeerName,
        /// The address that the server printed
        address: String,
        /// Where the server in between is, of peers that have one
        #[arg(long)]
        relay: Option<SocketAddr>,
    },
    /// Publish and handle events (the suite starts it): for so many milliseconds each time a line says how many
    Events {
        /// Over which broker
        broker: Contest,
        /// By the framework or by the bare client library
        side: SideName,
        /// Where the broker's server is
        address: SocketAddr,
    },
    /// Keep a node registered (the suite starts it) until standard input ends
    Register {
        /// Flags of the framework
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<String>,
    },
    /// Watch a registry (the suite starts it): print how many nodes are known, each time a line comes in
    Watch {
        /// Flags of the framework
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<String>,
    },
}

impl Options {
    /// Whether calls are to be measured, which is so unless something else is asked for alone.
    pub(crate) fn wants_calls(&self) -> bool {
        let is_something_else =
            self.streams || self.idle || !self.registries.is_empty() || !self.brokers.is_empty();
        self.calls || !is_something_else
    }

    /// The peers, each once.
    pub(crate) fn peers(&self) -> Vec<PeerName> {
        let mut peers = Vec::new();
        for peer in &self.peers {
            if !peers.contains(peer) {
                peers.push(*peer);
            }
        }
        peers
    }

    pub(crate) fn sizes(&self) -> Vec<usize> {
        let usual: &[usize] = if self.quick {
            &[16, 65_536]
        } else {
            &[16, 1024, 65_536]
        };
        self.sizes.clone().unwrap_or_else(|| usual.to_vec())
    }

    pub(crate) fn callers(&self) -> Vec<usize> {
        let usual: &[usize] = if self.quick { &[1, 16] } else { &[1, 16, 64, 256] };
        self.callers.clone().unwrap_or_else(|| usual.to_vec())
    }

    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 9 })
    }

    pub(crate) fn measured(&self) -> Duration {
        self.seconds
            .unwrap_or(Duration::from_millis(if self.quick { 200 } else { 500 }))
    }

    pub(crate) fn warm_up(&self) -> Duration {
        self.warm_up
            .unwrap_or(Duration::from_millis(if self.quick { 100 } else { 200 }))
    }

    /// Nodes of the registries' watchers.
    pub(crate) fn nodes(&self) -> usize {
        if self.quick { 200 } else { 5000 }
    }

    /// How long registries are left to themselves.
    pub(crate) fn rest(&self) -> Duration {
        Duration::from_secs(if self.quick { 10 } else { 60 })
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.unwrap_or(if self.quick { 200 } else { 2000 })
    }
}

/// The largest message: well below what the peers accept by default.
const LARGEST_SIZE: usize = 1 << 20;

fn size(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.strip_suffix("KiB") {
        Some(digits) => (digits.trim_end(), 1024),
        None => (text, 1),
    };
    let bytes = digits
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_mul(unit));
    let sound = bytes.filter(|bytes| (1..=LARGEST_SIZE).contains(bytes));
    sound.ok_or_else(|| {
        "a size is a number of bytes such as 16, or of KiB such as 64KiB, up to 1024KiB".to_owned()
    })
}

fn number(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=20_000).contains(number));
    number.ok_or_else(|| "it must be a number from 1 to 20000".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text
        .parse()
        .ok()
        .filter(|seconds| (0.01..=60.0).contains(seconds));
    let duration = seconds.map(Duration::from_secs_f64);
    duration.ok_or_else(|| "it must be a number of seconds from 0.01 to 60".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Options {
        Options::try_parse_from(["benches"].iter().chain(arguments)).unwrap()
    }

    #[test]
    fn calls_are_measured_unless_something_else_is_asked_for_alone() {
        assert!(parse(&[]).wants_calls());
        assert!(!parse(&["--idle"]).wants_calls());
        assert!(parse(&["--idle", "--calls"]).wants_calls());
    }

    #[test]
    fn what_is_stated_wins_over_quick() {
        let options = parse(&["--quick", "--rounds", "5", "--sizes", "16,2KiB"]);
        assert_eq!(
            (options.rounds(), options.sizes(), options.callers()),
            (5, vec![16, 2048], vec![1, 16])
        );
    }

    #[test]
    fn a_peer_takes_part_once() {
        let peers = parse(&["--peers", "tonic,hyper,tonic"]).peers();
        assert_eq!(peers, [PeerName::Tonic, PeerName::Hyper]);
    }

    #[test]
    fn senseless_numbers_are_refused() {
        for bad in ["0", "-1", "x", "2000KiB", "99999999999999999999KiB", "KiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        for bad in ["0", "nan", "inf", "-1", "1e9", ""] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
        assert!(number("0").is_err() && number("20001").is_err());
    }
}
