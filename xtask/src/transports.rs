//! `cargo xtask transports`: what a call costs over each transport, beside the bare way to do the same, as a table.

use crate::measured::{self, Asked, NONE};
use crate::steps;

pub(crate) const HELP: &str = "\
Measure every transport against its promises, and print the table of the README

Usage: cargo xtask transports [--quick] [--write] [OPTION VALUE…] [NAME…]

For each transport: the cases of its conformance suite; then unary echoes in interleaved rounds, beside hyper, tonic, tarpc,
bare datagrams, or the client library of its server. CPU time is that of both processes, without the server of NATS or
RabbitMQ. Takes about six minutes when all is built. Servers that the suites need must run: `cargo xtask backends up nats
rabbitmq`; calls go over servers of the command's own.

Options:
  --quick             Fewer and shorter rounds, to try the command itself
  --write             Put the table into README.md
  --rounds NUMBER     Interleaved rounds [default: 9; quick: 3]
  --seconds SECONDS   Measured time of a round [default: 0.5; quick: 0.2]
  --warm-up SECONDS   Time that precedes it, unmeasured [default: 0.2; quick: 0.1]
  --nats ADDRESS      Call over this NATS
  --rabbitmq ADDRESS  Call over this RabbitMQ
";

/// The options that are the benchmark's own.
const PASSED_ON: [&str; 5] = ["--rounds", "--seconds", "--warm-up", "--nats", "--rabbitmq"];

/// What is measured, and beside what.
struct Transport {
    name: &'static str,
    /// The folder of its package, and the modules of its cases where there are others.
    package: &'static str,
    modules: &'static [&'static str],
    /// The benchmark's peers: ours, and the bare one.
    peers: [&'static str; 2],
    beside: &'static str,
}

const TRANSPORTS: [Transport; 6] = [
    Transport {
        name: "http",
        package: "micro-core",
        modules: &["http_transport::", "https_transport::", "mutual_tls_transport::"],
        peers: ["micro", "hyper"],
        beside: "hyper",
    },
    Transport {
        name: "grpc",
        package: "plugins/grpc",
        modules: &[],
        peers: ["grpc", "tonic"],
        beside: "tonic",
    },
    Transport {
        name: "tcp",
        package: "plugins/tcp",
        modules: &[],
        peers: ["tcp", "tarpc"],
        beside: "tarpc",
    },
    Transport {
        name: "udp",
        package: "plugins/udp",
        modules: &[],
        peers: ["udp", "udp-raw"],
        beside: "datagrams",
    },
    Transport {
        name: "nats",
        package: "plugins/nats-transport",
        modules: &[],
        peers: ["nats", "nats-raw"],
        beside: "async-nats",
    },
    Transport {
        name: "rabbitmq",
        package: "plugins/rabbitmq-transport",
        modules: &[],
        peers: ["rabbitmq", "rabbitmq-raw"],
        beside: "lapin",
    },
];

const HEADS: [&str; 9] = [
    "transport",
    "conformance",
    "beside",
    "CPU µs/call, bare: 16 callers",
    "64 callers",
    "256 callers",
    "16 callers, 64 KiB",
    "calls/s, bare: 16 callers",
    "64 callers",
];

/// Sizes and callers that are measured together.
const SMALL: [&str; 4] = ["--sizes", "16", "--callers", "16,64,256"];
const LARGE: [&str; 4] = ["--sizes", "64KiB", "--callers", "16"];

/// Measures and prints.
///
/// # Errors
///
/// Fails if an argument is unknown, a suite or a run fails, or its output is not understood.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let (passed_on, arguments) = parted(arguments)?;
    let known = TRANSPORTS.each_ref().map(|transport| transport.name);
    let asked = measured::asked("transport", &arguments, &known)?;
    let mut rows = Vec::new();
    for transport in TRANSPORTS.iter().filter(|one| asked.names.contains(&one.name)) {
        rows.push(transport.measure(&asked, &passed_on)?);
    }
    measured::show("transports", &HEADS, &rows, asked.writes)
}

/// The options with values, which the benchmark reads, and all others.
fn parted(arguments: &[String]) -> Result<(Vec<String>, Vec<String>), String> {
    let (mut passed_on, mut others) = (Vec::new(), Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let name = argument
            .split_once('=')
            .map_or(argument.as_str(), |(name, _)| name);
        if !PASSED_ON.contains(&name) {
            others.push(argument.clone());
            continue;
        }
        passed_on.push(argument.clone());
        if name == argument {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            passed_on.push(value.clone());
        }
    }
    Ok((passed_on, others))
}

impl Transport {
    fn measure(&self, asked: &Asked<'_>, passed_on: &[String]) -> Result<[String; 9], String> {
        steps::announce(&format!("{}: conformance", self.name));
        let conformance = measured::conformance(self.package, self.modules, asked.is_all)?;
        steps::announce(&format!("{}: beside {}", self.name, self.beside));
        let small = self.calls(&SMALL, asked.is_quick, passed_on)?;
        let large = self.calls(&LARGE, asked.is_quick, passed_on)?;
        let small = |callers| self.cell(&small, "16 B", callers);
        let ([sixteen, rate_of_sixteen], [many, rate_of_many]) = (small("16")?, small("64")?);
        let ([most, _], [long, _]) = (small("256")?, self.cell(&large, "64 KiB", "16")?);
        let (name, beside) = (format!("`{}`", self.name), self.beside.to_owned());
        Ok([
            name,
            conformance,
            beside,
            sixteen,
            many,
            most,
            long,
            rate_of_sixteen,
            rate_of_many,
        ])
    }

    /// What the benchmark prints.
    fn calls(&self, matrix: &[&str], is_quick: bool, passed_on: &[String]) -> Result<String, String> {
        let peers = self.peers.join(",");
        let mut command = measured::benches(&["--calls", "--peers", &peers]);
        command.args(matrix).args(passed_on);
        if is_quick {
            command.arg("--quick");
        }
        measured::captured(&mut command)
    }

    /// What a call costs and how many there are in a second, with those of the bare peer.
    fn cell(&self, said: &str, size: &str, callers: &str) -> Result<[String; 2], String> {
        let of = |peer: &str| {
            let mut rows = measured::rows(said);
            let row = rows.find(|row| row.starts_with(&[size, callers, peer].map(str::to_owned)))?;
            <[String; 9]>::try_from(row).ok()
        };
        let [ours, bare] = self.peers.map(of);
        let (Some(ours), Some(bare)) = (ours, bare) else {
            return Err(format!(
                "the benchmark printed no row of {} with {size} and {callers} callers:\n{said}",
                self.name
            ));
        };
        let [_, _, _, rate, _, _, cost, _, ratio] = ours;
        let [_, _, _, bare_rate, _, _, bare_cost, ..] = bare;
        if cost == NONE {
            return Ok([NONE, NONE].map(str::to_owned));
        }
        Ok([
            measured::beside(&cost, &bare_cost, &ratio),
            format!("{rate}, {bare_rate}"),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(arguments: &[&str]) -> Vec<String> {
        arguments.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn a_cell_is_read_from_the_rows_of_both_peers() {
        let said = "\
| size | callers | peer    | calls/s | p50 µs | p99 µs | CPU µs/call | CPU ÷ udp | CPU ÷ udp-raw |
|------|--------:|---------|--------:|-------:|-------:|------------:|----------:|--------------:|
| 16 B |      16 | udp     |  30,000 |    1.0 |    2.0 |        30.0 |      1.00 |          2.00 |
| 16 B |      16 | udp-raw |  60,000 |    1.0 |    2.0 |        15.0 |      0.50 |          1.00 |
| 64 KiB |    16 | udp     |       – |      – |      – |           – |         – |             – |
| 64 KiB |    16 | udp-raw |       – |      – |      – |           – |         – |             – |
";
        let udp = &TRANSPORTS[3];
        let cell = |size, callers| udp.cell(said, size, callers);
        let expected = ["30.0, 15.0 (2.00 ×)", "30,000, 60,000"].map(str::to_owned);
        assert_eq!(cell("16 B", "16"), Ok(expected));
        assert_eq!(cell("64 KiB", "16"), Ok([NONE, NONE].map(str::to_owned)));
        let error = cell("16 B", "64").unwrap_err();
        assert!(error.contains("udp with 16 B and 64 callers"), "{error}");
    }

    #[test]
    fn options_with_values_are_the_benchmarks() {
        let arguments = texts(&["--write", "--rounds", "3", "--nats=127.0.0.1:4222", "udp"]);
        let expected = (
            texts(&["--rounds", "3", "--nats=127.0.0.1:4222"]),
            texts(&["--write", "udp"]),
        );
        assert_eq!(parted(&arguments), Ok(expected));
        assert!(
            parted(&texts(&["--seconds"]))
                .unwrap_err()
                .contains("--seconds needs a value")
        );
    }
}
