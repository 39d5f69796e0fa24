//! `micro stream`: requests go out, answers are printed as they come.

use std::collections::VecDeque;
use std::io::{self, BufRead};

use async_trait::async_trait;
use bytes::Bytes;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use futures_util::stream;
use micro::handler::CallKind;
use micro::{Body, Error};
use tokio::sync::mpsc;

use super::message::{self, word};
use super::output::Output;
use crate::advice;
use crate::failure::{Failure, Outcome};
use crate::json;
use crate::verb::{Place, Session, Verb};

/// How many lines of standard input may wait for the far side.
const WAITING: usize = 16;

/// Id of the errors of standard input, which come back through the stream that they end.
const OURS: &str = "micro.input";

pub(crate) struct Stream;

#[async_trait(?Send)]
impl Verb for Stream {
    fn command(&self) -> Command {
        Command::new("stream")
            .about("Calls a streaming endpoint and prints each answer as it comes")
            .args(message::arguments())
            .arg(
                Arg::new("request")
                    .value_name("JSON")
                    .action(ArgAction::Append)
                    .allow_negative_numbers(true)
                    .help("The requests, one `{}` by default; `-` sends each line of standard input"),
            )
            .arg(
                Arg::new("count")
                    .long("count")
                    .value_name("NUMBER")
                    .value_parser(value_parser!(u64))
                    .help("Ends after so many answers"),
            )
            .after_help(
                "Examples:\n  micro stream counter Counter.Count '{\"upTo\":5}'\n  \
                 micro stream prices Prices.Watch '{\"symbol\":\"MICRO\"}' --count 10 --output raw\n  \
                 micro stream counter Counter.Double '{\"value\":1}' '{\"value\":2}'\n  \
                 tail -f requests.json | micro stream counter Counter.Double -",
            )
    }

    async fn run(&self, words: &ArgMatches, session: &mut Session) -> Outcome {
        let body = body(words, session)?;
        let mut request = message::request(words, body)?;
        request.kind = CallKind::Stream;
        let client = message::client(words, session).await?;
        let (service, endpoint) = (word(words, "service"), word(words, "endpoint"));
        let mut answers = match client.request(request).await {
            Ok(response) => response.body,
            Err(error) => return Err(advice::on_call(&error, &session.network, service, endpoint).await),
        };
        let mut left = words.get_one::<u64>("count").copied().unwrap_or(u64::MAX);
        while left > 0 {
            match answers.message().await {
                None => break,
                Some(Ok(answer)) => {
                    let output = Output::of(words);
                    message::print(&mut session.screen, output, &answer)?;
                    if output == Output::Raw && !answer.ends_with(b"\n") {
                        session.screen.line("")?;
                    }
                }
                Some(Err(error)) if error.id() == OURS => return Err(Failure::usage(error.detail())),
                Some(Err(error)) => {
                    return Err(advice::on_call(&error, &session.network, service, endpoint).await);
                }
            }
            left -= 1;
        }
        Ok(())
    }
}

/// The requests. One alone travels as one message, which endpoints of one request and many answers expect.
fn body(words: &ArgMatches, session: &Session) -> Outcome<Body> {
    let requests = words.get_many::<String>("request").unwrap_or_default();
    let mut requests: VecDeque<String> = requests.cloned().collect();
    if requests.len() == 1 && requests[0] == "-" {
        if session.place == Place::Shell {
            return Err(Failure::usage(
                "`-` reads standard input, which is the shell's own here; write the requests themselves",
            ));
        }
        return Ok(standard_input());
    }
    for request in &requests {
        message::check(words, request)?;
    }
    match requests.len() {
        0 => Ok("{}".into()),
        1 => Ok(requests.remove(0).unwrap_or_default().into_bytes().into()),
        _ => {
            let messages = requests.into_iter().map(|text| Ok(Bytes::from(text)));
            Ok(Body::stream(stream::iter(messages)))
        }
    }
}

/// Each line of standard input as a message. A thread reads them, because the system has no other way; it ends with
/// the input, or with the process.
fn standard_input() -> Body {
    let (sender, mut lines) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        for (number, line) in io::stdin().lock().lines().enumerate() {
            let message = match line {
                Ok(line) if line.trim().is_empty() => continue,
                Ok(line) => match json::check(&line) {
                    Ok(()) => Ok(Bytes::from(line)),
                    Err(problem) => Err(wrong(format!("line {} is no JSON: {problem}", number + 1))),
                },
                Err(error) => Err(wrong(format!("standard input cannot be read: {error}"))),
            };
            let is_last = message.is_err();
            if sender.blocking_send(message).is_err() || is_last {
                return;
            }
        }
    });
    Body::stream(stream::poll_fn(move |context| lines.poll_recv(context)))
}

fn wrong(detail: String) -> Error {
    Error::bad_request(OURS, detail)
}
