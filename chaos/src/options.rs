//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use micro::Plugins;
use servers::Kind;

const EXAMPLES: &str = "\
Examples:
  chaos rolling                      twenty restarts under load
  chaos kill                         ten SIGKILLs, calls that may be repeated
  chaos kill --non-idempotent        the same with calls that must never run twice
  chaos blackout --registry etcd     a minute without the registry's server, which comes back empty
  chaos rolling --transport grpc     the same restarts, with calls over gRPC
  chaos rolling --restarts 100 --calls 1000000 --nodes 5

Each run prints a table, then its promises. The exit code is 0 where all were kept, 1 where one was broken, 2 where the
arguments are wrong. Everything stays on the loopback interface; runs may go side by side.";

/// Break services under load and count the calls that were dropped.
///
/// Each run starts real processes on the default stack: multicast DNS, HTTP, one process per node; `blackout` on the
/// registry that it is told, and those with `--transport` on the transport that they are told.
#[derive(Parser, Debug)]
#[command(name = "chaos", disable_help_subcommand = true, after_help = EXAMPLES)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) role: Role,
}

/// A run, or what one of a run's own processes does. Those end when their standard input does.
#[derive(Subcommand, Debug)]
pub(crate) enum Role {
    #[command(flatten)]
    Run(Run),
    /// Be a node.
    #[command(hide = true)]
    Node(NodeOptions),
    /// Be a subscriber.
    #[command(hide = true)]
    Subscriber(SubscriberOptions),
    /// Keep a registry's server.
    #[command(hide = true)]
    Backend(BackendOptions),
    /// Be a fresh client.
    #[command(hide = true)]
    Caller(CallerOptions),
}

/// What happens to the services, and what is promised of the calls.
#[derive(Subcommand, Debug)]
pub(crate) enum Run {
    /// Restart each node in turn, as a rolling deployment does: no call fails, none runs twice
    #[command(after_help = "\
Each restart is a SIGTERM, the end of the process, and a new process. The restarts are spread over the calls.

Examples:
  chaos rolling
  chaos rolling --transport grpc
  chaos rolling --nodes 5 --restarts 50 --calls 500000 --rate 10000")]
    Rolling(Rolling),
    /// Kill nodes without warning: only calls that must not be repeated may fail
    #[command(after_help = "\
Each kill is a SIGKILL, after which a new process takes the node's place. The kills are spread over the calls. The
dead nodes stay in the registry until their records lapse.

Examples:
  chaos kill
  chaos kill --non-idempotent
  chaos kill --kills 30 --calls 300000")]
    Kill(Kill),
    /// Make one node a hundred times slower: the selector p2c keeps clear of it
    #[command(after_help = "\
Three measurements, each with fresh nodes: p2c with all nodes healthy, p2c with one slow node, and, for comparison,
random with one slow node.

Examples:
  chaos slow
  chaos slow --nodes 10 --seconds 30")]
    Slow(Slow),
    /// Make the first calls of fresh clients, many at once: none fails
    #[command(after_help = "\
Each round is a fresh process with a fresh registry and client, which knows no node yet and makes its first calls all at
once. A call's time does not hold the start of the process and the opening of its sockets.

Examples:
  chaos cold
  chaos cold --rounds 50 --calls 256")]
    Cold(Cold),
    /// Break nothing: no call takes long
    #[command(after_help = "\
Examples:
  chaos healthy
  chaos healthy --calls 3000000 --callers 256")]
    Healthy(Healthy),
    /// Publish events while a subscriber is restarted: none is lost for its queue
    #[command(after_help = "\
Three subscribers: two share a queue, one does not. One of the two is sent SIGTERM, ends, and a new process takes its
place. The restarts are spread over the events.

Examples:
  chaos broker
  chaos broker --restarts 5 --events 100000")]
    Broker(Broker),
    /// Take the registry's server away under load, and bring it back empty: no call fails, all nodes register again
    #[command(after_help = "\
The run has a server of its own, on a free port. It is killed under load, and started again without its data. Meanwhile
one more node is started. All nodes must be back in the registry within two intervals of registering, without being
restarted. In the end one of them is sent SIGKILL, to see when its record lapses.

The server's program must be there; `cargo xtask backends up NAME` installs it.

Examples:
  chaos blackout --registry etcd
  chaos blackout --registry etcd --secs 10 --ttl 2
  chaos blackout --registry etcd --secs 300 --ttl 60 --nodes 10")]
    Blackout(Blackout),
}

/// What all runs share.
#[derive(Args, Debug, Clone, Copy)]
pub(crate) struct Common {
    /// Print times, but judge only counts: for machines that are busy with other things
    #[arg(long)]
    pub(crate) ignore_times: bool,

    /// Break a promise on purpose
    #[arg(long, hide = true)]
    pub(crate) sabotage: Option<Sabotage>,
}

/// What calls travel over.
#[derive(Args, Debug, Clone, Copy, Default)]
pub(crate) struct Over {
    /// The transport of nodes and callers
    #[arg(long, value_name = "NAME", value_enum, default_value_t)]
    pub(crate) transport: Carrier,
}

impl Over {
    /// The name of a run or of a part of it, with that of the transport where it is not the default.
    pub(crate) fn named(self, name: &str) -> String {
        match self.transport {
            Carrier::Http => name.to_owned(),
            Carrier::Grpc => format!("{name}, over gRPC"),
        }
    }
}

/// A transport between processes.
#[derive(ValueEnum, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// The default.
    #[default]
    Http,
    /// Standard gRPC.
    Grpc,
}

impl Carrier {
    /// Its name in the framework.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }
}

/// How a node misbehaves, so that a broken promise can be seen.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// It answers every hundredth call with an error.
    Errors,
    /// It runs every hundredth call twice.
    Doubles,
    /// It does not register again for an hour.
    Forgets,
}

impl Sabotage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Doubles => "doubles",
            Self::Forgets => "forgets",
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct Rolling {
    /// Nodes of the service
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = nodes(2))]
    pub(crate) nodes: u32,
    /// Restarts, of each node in turn
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = count())]
    pub(crate) restarts: u64,
    /// Calls at least; they go on until the last restart is done
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000, value_parser = count())]
    pub(crate) calls: u64,
    /// Concurrent callers
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = callers())]
    pub(crate) callers: u32,
    /// Calls per second, of all callers together
    #[arg(long, value_name = "NUMBER", default_value_t = 4_000, value_parser = rate())]
    pub(crate) rate: u32,
    #[command(flatten)]
    pub(crate) over: Over,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Args, Debug)]
pub(crate) struct Kill {
    /// Calls may be repeated: the default
    #[arg(long, conflicts_with = "non_idempotent")]
    pub(crate) idempotent: bool,
    /// Calls must never run twice: those in flight on a killed node fail
    #[arg(long)]
    pub(crate) non_idempotent: bool,
    /// Nodes of the service
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = nodes(2))]
    pub(crate) nodes: u32,
    /// SIGKILLs, of each node in turn
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = count())]
    pub(crate) kills: u64,
    /// Calls at least; they go on until the last kill is done
    #[arg(long, value_name = "NUMBER", default_value_t = 50_000, value_parser = count())]
    pub(crate) calls: u64,
    /// Concurrent callers
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = callers())]
    pub(crate) callers: u32,
    /// Calls per second, of all callers together
    #[arg(long, value_name = "NUMBER", default_value_t = 4_000, value_parser = rate())]
    pub(crate) rate: u32,
    #[command(flatten)]
    pub(crate) over: Over,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Args, Debug)]
pub(crate) struct Slow {
    /// Nodes of the service
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = nodes(2))]
    pub(crate) nodes: u32,
    /// Seconds of each of the three measurements
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) seconds: u32,
    /// Milliseconds that a healthy node works at a call; the slow one works a hundred times as long
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) work: u32,
    /// Concurrent callers
    #[arg(long, value_name = "NUMBER", default_value_t = 32, value_parser = callers())]
    pub(crate) callers: u32,
    /// Calls per second, of all callers together
    #[arg(long, value_name = "NUMBER", default_value_t = 2_000, value_parser = rate())]
    pub(crate) rate: u32,
    #[command(flatten)]
    pub(crate) over: Over,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Args, Debug)]
pub(crate) struct Cold {
    /// Nodes of the service
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = nodes(1))]
    pub(crate) nodes: u32,
    /// Rounds, each with a fresh process
    #[arg(long, value_name = "NUMBER", default_value_t = 300, value_parser = count())]
    pub(crate) rounds: u64,
    /// First calls of each round, made at once
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = callers())]
    pub(crate) calls: u32,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Args, Debug)]
pub(crate) struct Healthy {
    /// Nodes of the service
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = nodes(1))]
    pub(crate) nodes: u32,
    /// Calls, one after the other by each caller
    #[arg(long, value_name = "NUMBER", default_value_t = 300_000, value_parser = count())]
    pub(crate) calls: u64,
    /// Concurrent callers
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = callers())]
    pub(crate) callers: u32,
    #[command(flatten)]
    pub(crate) over: Over,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Args, Debug)]
pub(crate) struct Broker {
    /// Events to publish
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = count())]
    pub(crate) events: u64,
    /// Restarts of one of the two that share a queue
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = count())]
    pub(crate) restarts: u64,
    /// Publishers, each of which publishes one event after the other
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = callers())]
    pub(crate) publishers: u32,
    /// Events per second, of all publishers together
    #[arg(long, value_name = "NUMBER", default_value_t = 2_000, value_parser = rate())]
    pub(crate) rate: u32,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Args, Debug)]
pub(crate) struct Blackout {
    /// The registry, by the name of its plugin
    #[arg(long, value_name = "NAME", value_parser = registry_with_server)]
    pub(crate) registry: Kind,
    /// Seconds for which the server is gone
    #[arg(long, alias = "seconds", value_name = "NUMBER", default_value_t = 60, value_parser = seconds())]
    pub(crate) secs: u32,
    /// Seconds for which a node's record lives; it is refreshed twice in that time
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = seconds())]
    pub(crate) ttl: u32,
    /// Nodes of the service
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = nodes(1))]
    pub(crate) nodes: u32,
    /// Concurrent callers
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = callers())]
    pub(crate) callers: u32,
    /// Calls per second, of all callers together
    #[arg(long, value_name = "NUMBER", default_value_t = 2_000, value_parser = rate())]
    pub(crate) rate: u32,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Args, Debug)]
pub(crate) struct BackendOptions {
    #[arg(long)]
    pub(crate) kind: Kind,
}

#[derive(Args, Debug)]
pub(crate) struct SubscriberOptions {
    #[arg(long)]
    pub(crate) topic: String,
    /// Whom to share the events with.
    #[arg(long)]
    pub(crate) queue: Option<String>,
    /// Where to note each event that is handled.
    #[arg(long)]
    pub(crate) ledger: PathBuf,
    #[arg(long)]
    pub(crate) sabotage: Option<Sabotage>,
}

#[derive(Args, Debug)]
pub(crate) struct NodeOptions {
    #[arg(long)]
    pub(crate) service: String,
    #[arg(long)]
    pub(crate) id: String,
    /// Where to note each call that runs.
    #[arg(long)]
    pub(crate) ledger: PathBuf,
    /// Milliseconds that each call takes.
    #[arg(long, default_value_t = 0)]
    pub(crate) work: u64,
    #[arg(long)]
    pub(crate) sabotage: Option<Sabotage>,
    /// Which variables of the environment count.
    #[arg(long)]
    pub(crate) variables: Vec<String>,
    /// Flags of the framework.
    #[arg(last = true)]
    pub(crate) flags: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct CallerOptions {
    #[arg(long)]
    pub(crate) service: String,
    /// The number of the first call; the others follow.
    #[arg(long)]
    pub(crate) first: u64,
    #[arg(long)]
    pub(crate) calls: u64,
}

fn nodes(least: i64) -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(least..=50)
}

fn seconds() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=3600)
}

/// A registry that this program links, and whose server can be taken away.
fn registry_with_server(name: &str) -> Result<Kind, String> {
    let plugins = Plugins::builtin();
    let linked: Vec<_> = plugins.registries().collect();
    let possible = Kind::ALL
        .iter()
        .copied()
        .filter(|kind| linked.contains(&kind.name()));
    let possible: Vec<_> = possible.collect();
    if let Some(kind) = possible.iter().find(|kind| kind.name() == name) {
        return Ok(*kind);
    }
    let names: Vec<_> = possible.iter().map(|kind| kind.name()).collect();
    let names = names.join(", ");
    Err(if linked.contains(&name) || name == "gossip" {
        format!("{name} has no server that could be gone; choose one of those that have: {names}")
    } else {
        format!("this program links no registry of that name with a server; it has {names}")
    })
}

fn callers() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=10_000)
}

fn rate() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=1_000_000)
}

/// As many as a run can keep in memory.
fn count() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=100_000_000)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn senseless_numbers_are_refused() {
        for words in [
            ["rolling", "--nodes", "1"],
            ["rolling", "--rate", "0"],
            ["kill", "--kills", "0"],
            ["cold", "--calls", "10001"],
            ["slow", "--seconds", "x"],
            ["rolling", "--transport", "pigeon"],
            ["broker", "--transport", "grpc"],
            ["healthy", "--calls", "-1"],
            ["blackout", "--secs", "9"],
        ] {
            assert!(
                Options::try_parse_from(["chaos"].iter().chain(&words)).is_err(),
                "{words:?}"
            );
        }
    }

    #[test]
    fn only_a_server_can_be_taken_away() {
        let refused = |name: &str| {
            let words = ["chaos", "blackout", "--registry", name];
            Options::try_parse_from(words).unwrap_err().to_string()
        };
        for name in ["mdns", "memory", "gossip"] {
            let text = refused(name);
            assert!(
                text.contains(&format!("{name} has no server")) && text.contains("etcd"),
                "{text}"
            );
        }
        assert!(refused("pigeon").contains("no registry of that name"));
    }
}
