//! `micro logs`: what the nodes of a service logged lately, and what they log from now on.

use std::time::Duration;

use async_trait::async_trait;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use micro::client::CallOptions;
use micro::codec::JSON;
use micro::handler::CallKind;
use micro::{Body, Client, Error, Request, Result};
use serde_json::{Value, json};

use super::message::word;
use super::output::Output;
use crate::failure::Outcome;
use crate::nodes::{self, Answer, Place, Silence, number};
use crate::quantity;
use crate::screen::{Paint, Screen, harmless, remark};
use crate::table::cut;
use crate::verb::{Session, Verb};

/// A node's id takes no more columns.
const NODE: usize = 24;

pub(crate) struct Logs;

#[async_trait(?Send)]
impl Verb for Logs {
    fn command(&self) -> Command {
        Command::new("logs")
            .about("Shows what the nodes of a service logged (Debug.Log)")
            .arg(
                Arg::new("service")
                    .value_name("SERVICE")
                    .required(true)
                    .help("The service's name"),
            )
            .arg(
                Arg::new("number")
                    .long("number")
                    .short('n')
                    .value_name("LINES")
                    .default_value("20")
                    .value_parser(value_parser!(u32))
                    .help("How many lines of each node"),
            )
            .arg(
                Arg::new("follow")
                    .long("follow")
                    .short('f')
                    .action(ArgAction::SetTrue)
                    .help("Goes on with what is logged from now on, until Ctrl-C"),
            )
            .arg(Output::text_or_json())
            .after_help("Examples:\n  micro logs greeter\n  micro logs greeter -n 100 --follow")
    }

    async fn run(&self, words: &ArgMatches, session: &mut Session) -> Outcome {
        let places = nodes::places(&session.network, Some(word(words, "service"))).await?;
        let client = session.network.client().await?.clone();
        let is_followed = words.get_flag("follow");
        let count = words.get_one::<u32>("number").copied().unwrap_or_default();
        let asked = places
            .into_iter()
            .map(|place| open(&client, place, count, is_followed));
        let logs: Vec<_> = stream::iter(asked).buffered(nodes::AT_ONCE).collect().await;
        let mut lines = stream::select_all(logs);
        let mut printer = Printer {
            screen: &mut session.screen,
            is_json: Output::of(words) == Output::Json,
            silent: Vec::new(),
        };
        if is_followed {
            while let Some((place, line)) = lines.next().await {
                printer.print(&place, line)?;
            }
        } else {
            // Each node tells its own lines in order; together they are sorted by their seconds.
            let mut lines: Vec<_> = lines.collect().await;
            lines.sort_by_key(|(_, line)| line.as_ref().map_or(u64::MAX, |line| number(line, "timestamp")));
            for (place, line) in lines {
                printer.print(&place, line)?;
            }
        }
        nodes::outcome(&printer.silent)
    }
}

/// The lines of a node: those of old first, then the new ones if they are wanted. An error is the last.
async fn open(client: &Client, place: Place, count: u32, is_followed: bool) -> BoxStream<'static, Line> {
    let client = client.with_options(CallOptions {
        timeout: (!is_followed).then_some(nodes::PATIENCE),
        retries: Some(0),
        addresses: vec![place.node.address.clone()],
        ..CallOptions::default()
    });
    let asked = json!({ "count": count, "stream": is_followed }).to_string();
    let mut request = Request::new(&place.service, "Debug.Log", asked.into_bytes());
    request.content_type = JSON;
    request.kind = CallKind::Stream;
    let body = match client.request(request).await {
        Ok(response) => response.body,
        Err(error) => Body::stream(stream::iter([Err(error)])),
    };
    let lines = body.map(move |line| (place.clone(), line.and_then(|line| read(&line))));
    lines.boxed()
}

type Line = (Place, Result<Value>);

fn read(line: &[u8]) -> Result<Value> {
    serde_json::from_slice(line)
        .map_err(|problem| Error::client(500, format!("Debug.Log answered what is no JSON: {problem}")))
}

struct Printer<'a> {
    screen: &'a mut Screen,
    is_json: bool,
    /// The nodes whose lines ended with an error.
    silent: Vec<Answer>,
}

impl Printer<'_> {
    fn print(&mut self, place: &Place, line: Result<Value>) -> Outcome {
        let node = place.node.id.as_str();
        let line = match line {
            Ok(line) => line,
            Err(error) => {
                let silence = Silence::of(error);
                remark(&format!("{node}: {}", silence.summary()));
                self.silent.push(Answer {
                    place: place.clone(),
                    result: Err(silence),
                    took: Duration::ZERO,
                });
                return Ok(());
            }
        };
        if self.is_json {
            let mut line = line;
            if let Some(fields) = line.as_object_mut() {
                fields.insert("node".to_owned(), node.into());
            }
            self.screen.line(line.to_string())?;
            return Ok(());
        }
        let palette = self.screen.palette;
        let level = line["metadata"]["level"]
            .as_str()
            .unwrap_or_default()
            .to_uppercase();
        let paint = match level.as_str() {
            "ERROR" => Paint::Bad,
            "WARN" => Paint::Doubtful,
            "INFO" => Paint::Good,
            _ => Paint::Quiet,
        };
        self.screen.line(format!(
            "{} {} {}  {}{}",
            palette.paint(Paint::Quiet, quantity::time(number(&line, "timestamp"))),
            palette.paint(paint, format!("{:<5}", harmless(&level))),
            palette.paint(Paint::Name, cut(&harmless(node), NODE)),
            harmless(line["message"].as_str().unwrap_or_default()),
            palette.paint(Paint::Quiet, fields(&line)),
        ))?;
        Ok(())
    }
}

/// What stands beside the message, except what was said already.
fn fields(line: &Value) -> String {
    let metadata = line["metadata"].as_object();
    let fields = metadata
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name != "level");
    fields
        .map(|(name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!(" {}={}", harmless(name), harmless(&value))
        })
        .collect()
}
