//! What the suite tells a load process, one line each, and what that answers.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail, ensure};

/// One line to a load process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Command {
    /// Make so many callers that share what a peer's callers share.
    Connect { callers: usize },
    /// Make so many callers that share nothing, and let each call once. They stay beside those that are there.
    Idle { callers: usize },
    /// Let all callers call for so long. The answer is a [`CallResult`].
    Call { size: usize, time: Duration },
    /// Let all callers exchange streams for so long. The answer is a [`StreamResult`].
    Stream { size: usize, time: Duration },
    /// Drop all callers.
    Close,
}

impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { callers } => write!(formatter, "connect {callers}"),
            Self::Idle { callers } => write!(formatter, "idle {callers}"),
            Self::Call { size, time } => write!(formatter, "call {size} {}", time.as_millis()),
            Self::Stream { size, time } => write!(formatter, "stream {size} {}", time.as_millis()),
            Self::Close => formatter.write_str("close"),
        }
    }
}

impl FromStr for Command {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |text: &str| {
            text.parse::<usize>()
                .with_context(|| format!("{text:?} in {line:?} is not a number"))
        };
        Ok(match words[..] {
            ["connect", callers] => Self::Connect {
                callers: number(callers)?,
            },
            ["idle", callers] => Self::Idle {
                callers: number(callers)?,
            },
            ["call", size, time] => Self::Call {
                size: number(size)?,
                time: milliseconds(number(time)?),
            },
            ["stream", size, time] => Self::Stream {
                size: number(size)?,
                time: milliseconds(number(time)?),
            },
            ["close"] => Self::Close,
            _ => bail!(
                "there is no command {line:?}: try `connect CALLERS`, `idle CALLERS`, `call BYTES MILLISECONDS`, \
                 `stream BYTES MILLISECONDS` or `close`"
            ),
        })
    }
}

fn milliseconds(number: usize) -> Duration {
    Duration::from_millis(number as u64)
}

/// What [`Command::Call`] measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CallResult {
    pub(crate) calls: u64,
    /// From the start to the end of the last call.
    pub(crate) nanoseconds: u64,
    /// Median latency in nanoseconds.
    pub(crate) p50: u64,
    /// The latency in nanoseconds that 99 % of the calls stayed within.
    pub(crate) p99: u64,
}

/// What [`Command::Stream`] measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StreamResult {
    /// Messages that came back.
    pub(crate) messages: u64,
    /// From the start to the end of the last stream.
    pub(crate) nanoseconds: u64,
}

/// The answer to a command: numbers, or why it failed. It is one line, too.
pub(crate) type Answer = Result<Vec<u64>>;

/// The line for an answer.
pub(crate) fn answer_line(answer: &Answer) -> String {
    match answer {
        Ok(numbers) => {
            let words: Vec<String> = numbers.iter().map(u64::to_string).collect();
            format!("ok {}", words.join(" "))
        }
        Err(error) => format!("error {}", format!("{error:#}").replace('\n', " ")),
    }
}

/// The answer in a line.
pub(crate) fn parse_answer(line: &str) -> Answer {
    match line.split_once(' ') {
        Some(("ok", numbers)) => Ok(numbers
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?),
        Some(("error", text)) => bail!("{text}"),
        _ => bail!("{line:?} is no answer"),
    }
}

impl From<CallResult> for Vec<u64> {
    fn from(result: CallResult) -> Self {
        vec![result.calls, result.nanoseconds, result.p50, result.p99]
    }
}

impl TryFrom<Vec<u64>> for CallResult {
    type Error = Error;

    fn try_from(numbers: Vec<u64>) -> Result<Self> {
        let [calls, nanoseconds, p50, p99] = numbers[..] else {
            bail!("{numbers:?} are not the results of calls")
        };
        ensure!(
            calls > 0 && nanoseconds > 0,
            "not one call was made in the measured time"
        );
        Ok(Self {
            calls,
            nanoseconds,
            p50,
            p99,
        })
    }
}

impl From<StreamResult> for Vec<u64> {
    fn from(result: StreamResult) -> Self {
        vec![result.messages, result.nanoseconds]
    }
}

impl TryFrom<Vec<u64>> for StreamResult {
    type Error = Error;

    fn try_from(numbers: Vec<u64>) -> Result<Self> {
        let [messages, nanoseconds] = numbers[..] else {
            bail!("{numbers:?} are not the results of streams")
        };
        ensure!(
            messages > 0 && nanoseconds > 0,
            "not one message came back in the measured time"
        );
        Ok(Self {
            messages,
            nanoseconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_survives_its_line() {
        let time = Duration::from_millis(500);
        for command in [
            Command::Connect { callers: 16 },
            Command::Idle { callers: 2000 },
            Command::Call { size: 65_536, time },
            Command::Stream { size: 16, time },
            Command::Close,
        ] {
            assert_eq!(command.to_string().parse::<Command>().unwrap(), command);
        }
    }

    #[test]
    fn an_unknown_command_is_answered_with_those_that_exist() {
        let error = "call 16".parse::<Command>().unwrap_err().to_string();
        assert!(
            error.contains("\"call 16\"") && error.contains("call BYTES MILLISECONDS"),
            "{error}"
        );
    }

    #[test]
    fn an_answer_survives_its_line() {
        let result = CallResult {
            calls: 10,
            nanoseconds: 20,
            p50: 1,
            p99: 2,
        };
        let numbers = parse_answer(&answer_line(&Ok(result.into()))).unwrap();
        assert_eq!(CallResult::try_from(numbers).unwrap(), result);
        assert!(parse_answer(&answer_line(&Ok(Vec::new()))).unwrap().is_empty());
        let error = parse_answer(&answer_line(&Err(anyhow::anyhow!("two\nlines")))).unwrap_err();
        assert_eq!(error.to_string(), "two lines");
    }
}
