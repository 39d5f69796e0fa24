//! `micro trace`: which calls caused which, over all services that they met.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::{Value, json};

use super::output::Output;
use crate::failure::{Failure, Outcome};
use crate::json;
use crate::nodes::{self, Answer, Silence, number};
use crate::quantity;
use crate::screen::{Paint, Palette, Screen, harmless, remark};
use crate::table::cut;
use crate::verb::{Session, Verb};

/// A node's id takes no more columns.
const NODE: usize = 24;
/// Spans of hostile nodes may nest without end; nobody looks deeper.
const DEEPEST: usize = 64;

pub(crate) struct Trace;

#[async_trait(?Send)]
impl Verb for Trace {
    fn command(&self) -> Command {
        Command::new("trace")
            .about("Shows which calls caused which, as the nodes recorded them (Debug.Trace)")
            .arg(
                Arg::new("service")
                    .value_name("SERVICE")
                    .help("Only what the nodes of this service recorded; all by default"),
            )
            .arg(
                Arg::new("id")
                    .long("id")
                    .value_name("TRACE")
                    .default_value("")
                    .hide_default_value(true)
                    .help("Only this trace"),
            )
            .arg(
                Arg::new("number")
                    .long("number")
                    .short('n')
                    .value_name("TRACES")
                    .default_value("5")
                    .value_parser(value_parser!(u32))
                    .help("How many traces, the latest"),
            )
            .arg(Output::text_or_json())
            .after_help(
                "Nodes record a few calls a second, and those whose caller sends a recorded `traceparent`.\n\n\
                 Examples:\n  micro trace\n  micro trace shop -n 1\n  \
                 micro trace --id 4bf92f3577b34da6a3ce929d0e0e4736",
            )
    }

    async fn run(&self, words: &ArgMatches, session: &mut Session) -> Outcome {
        let service = words.get_one::<String>("service").map(String::as_str);
        let id = words.get_one::<String>("id").map_or("", String::as_str);
        let places = nodes::places(&session.network, service).await?;
        let asked = json!({ "id": id }).to_string();
        let answers = nodes::ask_all(&session.network, places, "Debug.Trace", &asked).await?;
        let count = words
            .get_one::<u32>("number")
            .map_or(0, |number| *number as usize);
        let traces = latest(&answers, count);
        let screen = &mut session.screen;
        if Output::of(words) == Output::Json {
            let spans: Vec<Value> = traces.iter().flatten().map(Span::to_json).collect();
            screen.line(json::indented(&Value::from(spans).to_string(), screen.palette))?;
        } else {
            for trace in &traces {
                print(screen, trace)?;
            }
        }
        for answer in &answers {
            if let Err(silence @ (Silence::Unreachable(_) | Silence::Refused(_))) = &answer.result {
                remark(&format!("{}: {}", answer.place.node.id, silence.summary()));
            }
        }
        if traces.is_empty() && id.is_empty() {
            remark("no calls were recorded");
        } else if traces.is_empty() {
            return Err(Failure::not_found(format!("no node has recorded the trace {id}")));
        }
        nodes::outcome(&answers)
    }
}

/// What a node recorded of a call.
struct Span<'a> {
    node: &'a str,
    of: &'a Value,
}

impl Span<'_> {
    fn text(&self, name: &str) -> &str {
        self.of[name].as_str().unwrap_or_default()
    }

    fn to_json(&self) -> Value {
        let mut json = self.of.clone();
        if let Some(fields) = json.as_object_mut() {
            fields.insert("node".to_owned(), self.node.into());
        }
        json
    }

    /// Name, where, how long, and what went wrong.
    fn line(&self, palette: Palette) -> String {
        let metadata = |name: &str| self.of["metadata"][name].as_str().unwrap_or_default();
        let node = cut(&harmless(self.node), NODE);
        let place = if self.text("type") == "OUTBOUND" || self.of["type"] == 1 {
            format!("{node} calls {}", harmless(metadata("service")))
        } else {
            node
        };
        let took = match number(self.of, "duration") {
            0 => "–".to_owned(),
            nanoseconds => quantity::moment(Duration::from_nanos(nanoseconds)),
        };
        let problem = match (metadata("error"), metadata("cancelled")) {
            ("", "") => String::new(),
            ("", _) => "  cancelled".to_owned(),
            (error, _) => format!("  {} {}", harmless(metadata("code")), harmless(error)),
        };
        format!(
            "{}  {}  {took}{}",
            harmless(self.text("name")),
            palette.paint(Paint::Name, place),
            palette.paint(Paint::Bad, problem)
        )
    }
}

/// The spans of the latest traces, the oldest trace first, each in the order in which its spans began.
fn latest(answers: &[Answer], count: usize) -> Vec<Vec<Span<'_>>> {
    let mut traces: BTreeMap<&str, Vec<Span<'_>>> = BTreeMap::new();
    for answer in answers {
        let spans = answer
            .result
            .as_ref()
            .ok()
            .and_then(|trace| trace["spans"].as_array());
        for of in spans.into_iter().flatten() {
            let node = &answer.place.node.id;
            let trace = of["trace"].as_str().unwrap_or_default();
            traces.entry(trace).or_default().push(Span { node, of });
        }
    }
    let mut traces: Vec<Vec<Span<'_>>> = traces.into_values().collect();
    for trace in &mut traces {
        trace.sort_by_key(|span| number(span.of, "started"));
    }
    traces.sort_by_key(|trace| trace.first().map(|span| number(span.of, "started")));
    traces.split_off(traces.len().saturating_sub(count))
}

fn print(screen: &mut Screen, trace: &[Span<'_>]) -> Outcome {
    let Some(first) = trace.first() else {
        return Ok(());
    };
    let palette = screen.palette;
    let began = quantity::time(number(first.of, "started") / 1_000_000_000);
    screen.line(format!(
        "{}  {}",
        palette.paint(Paint::Title, harmless(first.text("trace"))),
        palette.paint(Paint::Quiet, began)
    ))?;
    for line in tree(trace, palette) {
        screen.line(line)?;
    }
    Ok(())
}

fn tree(trace: &[Span<'_>], palette: Palette) -> Vec<String> {
    let ids = trace.iter().map(|span| span.text("id"));
    let known: HashSet<&str> = ids.filter(|id| !id.is_empty()).collect();
    let is_root = |span: &&Span<'_>| !known.contains(span.text("parent"));
    let mut tree = Tree {
        trace,
        palette,
        drawn: HashSet::new(),
        lines: Vec::new(),
    };
    tree.draw(trace.iter().filter(is_root).collect(), "", DEEPEST);
    tree.lines
}

struct Tree<'a> {
    trace: &'a [Span<'a>],
    palette: Palette,
    /// What is below each span is drawn once, whatever others say of their parents.
    drawn: HashSet<&'a str>,
    lines: Vec<String>,
}

impl<'a> Tree<'a> {
    fn draw(&mut self, spans: Vec<&'a Span<'a>>, stem: &str, depth: usize) {
        let last = spans.len().saturating_sub(1);
        for (at, span) in spans.into_iter().enumerate() {
            let id = span.text("id");
            let (fork, below) = if at == last {
                ("└─", "   ")
            } else {
                ("├─", "│  ")
            };
            let branch = self.palette.paint(Paint::Quiet, format!("{stem}{fork}"));
            self.lines.push(format!("{branch} {}", span.line(self.palette)));
            if depth > 0 && !id.is_empty() && self.drawn.insert(id) {
                let trace = self.trace;
                let inside = trace.iter().filter(|inner| inner.text("parent") == id);
                self.draw(inside.collect(), &format!("{stem}{below}"), depth - 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use micro::registry::Node;

    use super::*;

    fn answer(node: &str, spans: &Value) -> Answer {
        Answer {
            place: nodes::Place {
                service: node.into(),
                version: "1".into(),
                node: Node::new(node, "127.0.0.1:1"),
            },
            result: Ok(json!({ "spans": spans })),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn spans_of_all_nodes_are_one_tree() {
        let shop = json!([
            {"trace": "t", "id": "2", "parent": "1", "name": "Hello.Ping", "started": "20", "duration": "3000000",
             "type": "OUTBOUND", "metadata": {"service": "greeter"}},
            {"trace": "t", "id": "1", "parent": "0", "name": "Orders.Place", "started": "10", "duration": "5000000"},
            {"trace": "old", "id": "9", "name": "Orders.List", "started": "1"},
        ]);
        let greeter = json!([
            {"trace": "t", "id": "3", "parent": "2", "name": "Hello.Ping", "started": "30",
             "metadata": {"error": "no", "code": "500"}},
        ]);
        let answers = [answer("shop-1", &shop), answer("greeter-1", &greeter)];
        let traces = latest(&answers, 1);
        assert_eq!(traces.len(), 1);
        assert_eq!(
            tree(&traces[0], Palette::PLAIN),
            [
                "└─ Orders.Place  shop-1  5.0 ms",
                "   └─ Hello.Ping  shop-1 calls greeter  3.0 ms",
                "      └─ Hello.Ping  greeter-1  –  500 no",
            ]
        );
        assert_eq!(latest(&answers, 9).len(), 2);
        assert!(latest(&answers, 0).is_empty());
    }

    #[test]
    fn spans_that_cause_themselves_end() {
        let spans = json!([
            {"trace": "t", "id": "1", "parent": "0", "name": "A.B"},
            {"trace": "t", "id": "1", "parent": "1", "name": "A.B"},
            7,
        ]);
        let answers = [answer("a", &spans)];
        let traces = latest(&answers, 9);
        let lines: usize = traces.iter().map(|trace| tree(trace, Palette::PLAIN).len()).sum();
        assert_eq!(lines, 3);
        assert_eq!(traces.iter().flatten().map(Span::to_json).count(), 3);
    }
}
