//! A fresh client: a process that knows nothing yet makes its first calls, all at once.

use std::time::Instant;

use anyhow::{Context, Result};
use micro::Client;
use tokio::task::JoinSet;

use crate::load::{Failure, Tally, nanoseconds};
use crate::node::{self, ENDPOINT};
use crate::options::CallerOptions;
use crate::process::end_with_parent;

/// Calls, and prints a line for each call.
pub(crate) async fn run(options: &CallerOptions) -> Result<()> {
    end_with_parent();
    let client = node::settings("chaos-client")?.client().await?.build();
    let mut calls = JoinSet::new();
    for call in options.first..options.first + options.calls {
        calls.spawn(first_call(client.clone(), options.service.clone(), call));
    }
    while let Some(line) = calls.join_next().await {
        println!("{}", line?);
    }
    Ok(())
}

async fn first_call(client: Client, service: String, call: u64) -> String {
    let began = Instant::now();
    let answer = client.call_plain::<u64, u64>(service, ENDPOINT, call).await;
    let time = nanoseconds(began.elapsed());
    match answer {
        Ok(answer) if answer == call => format!("{call} {time} ok"),
        Ok(answer) => format!("{call} {time} it was given the answer to call {answer}"),
        Err(error) => format!("{call} {time} {}", error.to_string().replace('\n', " ")),
    }
}

/// Takes a line in that a fresh client printed.
pub(crate) fn take_line(tally: &mut Tally, line: &str) -> Result<()> {
    let unread = || format!("a fresh client printed {line:?}");
    let (call, rest) = line.split_once(' ').with_context(unread)?;
    let (time, result) = rest.split_once(' ').with_context(unread)?;
    let call = call.parse().with_context(unread)?;
    tally.times.push(time.parse().with_context(unread)?);
    if result != "ok" {
        let error = result.to_owned();
        tally.failures.push(Failure { call, error });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_client_are_understood() {
        let mut tally = Tally::default();
        take_line(&mut tally, "7 25000000 ok").unwrap();
        take_line(&mut tally, "8 100 service x: not found").unwrap();
        assert_eq!(tally.times, [25_000_000, 100]);
        assert_eq!((tally.failures[0].call, tally.failures.len()), (8, 1));
        assert_eq!(tally.failures[0].error, "service x: not found");
        assert!(take_line(&mut tally, "x").is_err());
    }
}
