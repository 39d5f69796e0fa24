//! `micro stats`: what every node has done and what it takes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::Value;

use super::output::Output;
use crate::failure::{Failure, Outcome};
use crate::json;
use crate::nodes::{self, Answer, Silence, number};
use crate::quantity;
use crate::screen::{Paint, remark};
use crate::table::{Cell, Table};
use crate::verb::{Session, Verb};

pub(crate) struct Stats;

/// How many requests each node had answered, and when it said so.
type Before = HashMap<String, (u64, Instant)>;

#[async_trait(?Send)]
impl Verb for Stats {
    fn command(&self) -> Command {
        Command::new("stats")
            .about("Shows what every node has done and what it takes (Debug.Stats)")
            .arg(
                Arg::new("service")
                    .value_name("SERVICE")
                    .help("Only the nodes of this service; all by default"),
            )
            .arg(Output::text_or_json())
            .arg(
                Arg::new("watch")
                    .long("watch")
                    .short('w')
                    .value_name("SECONDS")
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("2")
                    .action(ArgAction::Set)
                    .help("Shows it again and again, every two seconds, until Ctrl-C"),
            )
            .after_help(
                "Examples:\n  micro stats\n  micro stats greeter --watch\n  micro stats greeter --output json",
            )
    }

    async fn run(&self, words: &ArgMatches, session: &mut Session) -> Outcome {
        let Some(interval) = words.get_one::<String>("watch") else {
            let answers = ask(words, session).await?;
            print(words, session, &answers, None)?;
            return nodes::outcome(&answers);
        };
        let interval = interval_of(interval)?;
        let mut before = Before::new();
        loop {
            let answers = ask(words, session).await?;
            session.screen.clear()?;
            print(words, session, &answers, Some(&before))?;
            before = noted(&answers);
            tokio::time::sleep(interval).await;
            if !session.screen.is_terminal() && Output::of(words) == Output::Text {
                session.screen.line("")?;
            }
        }
    }
}

fn interval_of(text: &str) -> Outcome<Duration> {
    let seconds: Option<f64> = text.trim_end_matches('s').parse().ok();
    seconds
        .filter(|seconds| (0.1..=86400.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| Failure::usage(format!("--watch={text}: write seconds from 0.1 to 86400")))
}

async fn ask(words: &ArgMatches, session: &Session) -> Outcome<Vec<Answer>> {
    let service = words.get_one::<String>("service").map(String::as_str);
    let places = nodes::places(&session.network, service).await?;
    nodes::ask_all(&session.network, places, "Debug.Stats", "{}").await
}

fn noted(answers: &[Answer]) -> Before {
    let now = Instant::now();
    answers
        .iter()
        .filter_map(|answer| {
            let stats = answer.result.as_ref().ok()?;
            Some((answer.place.node.id.clone(), (number(stats, "requests"), now)))
        })
        .collect()
}

fn print(words: &ArgMatches, session: &mut Session, answers: &[Answer], before: Option<&Before>) -> Outcome {
    let screen = &mut session.screen;
    if Output::of(words) == Output::Json {
        screen.line(json::indented(&nodes::as_json(answers), screen.palette))?;
        return Ok(());
    }
    if answers.is_empty() {
        remark("no nodes are known here; `micro doctor` tells whether that is right");
        return Ok(());
    }
    for line in table(answers, before).lines(screen.palette, screen.width) {
        screen.line(line)?;
    }
    let lost = answers
        .iter()
        .filter_map(|answer| Some((answer, answer.result.as_ref().err()?)));
    for (answer, silence) in lost {
        let paint = match silence {
            Silence::NoDebug => Paint::Quiet,
            _ => Paint::Bad,
        };
        let text = format!("{}: {}", answer.place.node.id, silence.summary());
        screen.line(screen.palette.paint(paint, crate::screen::harmless(&text)))?;
    }
    Ok(())
}

fn table(answers: &[Answer], before: Option<&Before>) -> Table {
    // Rust has no garbage to collect; where other nodes have, the column is worth its place.
    let stats = || answers.iter().filter_map(|answer| answer.result.as_ref().ok());
    let has_gc = stats().any(|stats| number(stats, "gc") > 0);
    let mut head = vec![
        "NODE", "ADDRESS", "UPTIME", "MEMORY", "THREADS", "REQUESTS", "PER S", "ERRORS",
    ];
    if has_gc {
        head.push("GC");
    }
    let numbers_from = 2;
    let mut table = Table::new(&head)
        .whole(&[1])
        .right(&(numbers_from..head.len()).collect::<Vec<_>>());
    for answer in answers {
        let place = &answer.place.node;
        let mut row = vec![
            Cell::painted(&place.id, Paint::Name),
            place.address.as_str().into(),
        ];
        match &answer.result {
            Ok(stats) => row.extend(numbers(answer, stats, before)),
            Err(_) => row.resize_with(head.len(), || "–".into()),
        }
        row.truncate(head.len());
        table.row(row);
    }
    table
}

/// In the order of the head; the last is left out where nobody has it.
fn numbers(answer: &Answer, stats: &Value, before: Option<&Before>) -> [Cell; 7] {
    let requests = number(stats, "requests");
    let errors = number(stats, "errors");
    let paint = if errors > 0 { Paint::Doubtful } else { Paint::Quiet };
    [
        quantity::seconds(number(stats, "uptime")).into(),
        quantity::bytes(number(stats, "memory")).into(),
        number(stats, "threads").to_string().into(),
        requests.to_string().into(),
        rate(answer, stats, requests, before).into(),
        Cell::painted(errors.to_string(), paint),
        quantity::moment(Duration::from_nanos(number(stats, "gc"))).into(),
    ]
}

/// Requests each second: since the last look, or over the whole life of the node.
fn rate(answer: &Answer, stats: &Value, requests: u64, before: Option<&Before>) -> String {
    #[allow(clippy::cast_precision_loss, reason = "one digit behind the point is shown")]
    let over = |requests: u64, seconds: f64| format!("{:.1}", requests as f64 / seconds);
    match before.and_then(|before| before.get(&answer.place.node.id)) {
        Some((then, when)) => over(requests.saturating_sub(*then), when.elapsed().as_secs_f64()),
        None => match number(stats, "uptime") {
            0 => "–".to_owned(),
            #[allow(clippy::cast_precision_loss, reason = "seconds are few")]
            uptime => over(requests, uptime as f64),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_seconds() {
        assert_eq!(interval_of("0.5").unwrap(), Duration::from_millis(500));
        assert_eq!(interval_of("3s").unwrap(), Duration::from_secs(3));
        for wrong in ["0", "x", "-1", "1e9", "NaN"] {
            assert!(interval_of(wrong).is_err(), "{wrong}");
        }
    }
}
