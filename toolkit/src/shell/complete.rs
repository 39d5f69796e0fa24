//! What the Tab key offers: verbs, flags, services, endpoints, requests.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, Command};
use micro::registry::ServiceRecord;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::words::{Word, unfinished};
use crate::arguments;
use crate::network::Network;
use crate::verbs::describe::example;

/// A key waits no longer for the registry.
const PATIENCE: Duration = Duration::from_secs(2);
/// What the registry said is believed for so long.
const FRESH: Duration = Duration::from_secs(5);

/// What the Tab key offers.
pub(super) struct Completion {
    command: Command,
    network: Arc<Network>,
    runtime: Handle,
    known: Mutex<Option<(Instant, Arc<Vec<ServiceRecord>>)>>,
}

impl Completion {
    /// Must be made inside the runtime that the network lives in.
    pub(super) fn new(network: Arc<Network>) -> Self {
        let mut command = arguments::shell_command();
        command.build();
        Self {
            command,
            network,
            runtime: Handle::current(),
            known: Mutex::new(None),
        }
    }

    /// All services with their endpoints, asked for again when they are no longer fresh.
    fn records(&self) -> Arc<Vec<ServiceRecord>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, records)) = &*known
            && when.elapsed() < FRESH
        {
            return records.clone();
        }
        let asked = self
            .runtime
            .block_on(async { timeout(PATIENCE, self.network.records(None)).await });
        let records = match asked {
            Ok(Ok(records)) => Arc::new(records),
            // What was known before is better than nothing.
            _ => known
                .as_ref()
                .map(|(_, records)| records.clone())
                .unwrap_or_default(),
        };
        *known = Some((Instant::now(), records.clone()));
        records
    }
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let words = unfinished(line.get(..at).unwrap_or(line));
        let start = words.last().map_or(at, |word| word.start);
        let candidates = candidates(&words, &self.command, || self.records());
        let pair = |text: String| Pair {
            display: text.clone(),
            replacement: text + " ",
        };
        Ok((start, candidates.into_iter().map(pair).collect()))
    }
}

impl Hinter for Completion {
    type Hint = String;
}

impl Highlighter for Completion {}
impl Validator for Completion {}
impl Helper for Completion {}

/// What could stand in place of the last word.
fn candidates(
    words: &[Word],
    command: &Command,
    records: impl Fn() -> Arc<Vec<ServiceRecord>>,
) -> Vec<String> {
    let Some((typed, before)) = words.split_last() else {
        return Vec::new();
    };
    let before: Vec<&str> = before.iter().map(|word| word.text.as_str()).collect();
    let offered = match before.split_first() {
        None => names(command),
        Some((&"help", _)) => names(command),
        Some((verb, given)) => match command.find_subcommand(verb) {
            Some(command) => offered(command, given, &typed.text, records),
            None => Vec::new(),
        },
    };
    let fits = |name: &String| name.starts_with(&typed.text);
    let distinct: BTreeSet<String> = offered.into_iter().filter(fits).collect();
    distinct.into_iter().collect()
}

fn names(command: &Command) -> Vec<String> {
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    verbs.map(|verb| verb.get_name().to_owned()).collect()
}

/// What a verb takes next.
fn offered(
    verb: &Command,
    given: &[&str],
    typed: &str,
    records: impl Fn() -> Arc<Vec<ServiceRecord>>,
) -> Vec<String> {
    if typed.starts_with('-') {
        let flags = verb.get_arguments().filter_map(Arg::get_long);
        return flags.map(|flag| format!("--{flag}")).collect();
    }
    let awaited = given.last().and_then(|last| flag_named(verb, last));
    if let Some(flag) = awaited.filter(|flag| takes_next(flag)) {
        return values(flag);
    }
    let places: Vec<&str> = places(verb, given);
    let Some(argument) = verb
        .get_positionals()
        .nth(places.len())
        .or_else(|| verb.get_positionals().last().filter(|last| is_repeated(last)))
    else {
        return Vec::new();
    };
    let by_name = |name: &str| -> Option<&str> {
        let at = verb.get_positionals().position(|place| place.get_id() == name)?;
        places.get(at).copied()
    };
    match argument.get_id().as_str() {
        "service" => records().iter().map(|record| record.name.clone()).collect(),
        "endpoint" => endpoints(&records(), by_name("service"))
            .map(|endpoint| endpoint.name.clone())
            .collect(),
        "request" => endpoints(&records(), by_name("service"))
            .filter(|endpoint| by_name("endpoint") == Some(&endpoint.name))
            .map(example)
            .collect(),
        _ => values(argument),
    }
}

fn endpoints<'a>(
    records: &'a [ServiceRecord],
    service: Option<&'a str>,
) -> impl Iterator<Item = &'a micro::registry::Endpoint> {
    records
        .iter()
        .filter(move |record| service == Some(&record.name))
        .flat_map(|record| &record.endpoints)
}

/// The words without flags and their values.
fn places<'a>(verb: &Command, given: &[&'a str]) -> Vec<&'a str> {
    let mut places = Vec::new();
    let mut is_value = false;
    for word in given {
        if std::mem::take(&mut is_value) {
            continue;
        }
        match flag_named(verb, word) {
            Some(flag) => is_value = takes_next(flag),
            None if word.starts_with("--") => {}
            None => places.push(*word),
        }
    }
    places
}

fn flag_named<'a>(verb: &'a Command, word: &str) -> Option<&'a Arg> {
    let name = word.strip_prefix("--");
    let letter = word.strip_prefix('-').and_then(|rest| rest.parse().ok());
    verb.get_arguments().find(|flag| {
        let is_named = name.is_some_and(|name| flag.get_long() == Some(&name.replace('-', "_")));
        let is_spelt = name.is_some() && flag.get_long() == name;
        is_named || is_spelt || (letter.is_some() && flag.get_short() == letter)
    })
}

/// Whether the word after the flag is its value.
fn takes_next(flag: &Arg) -> bool {
    flag.get_action().takes_values() && !flag.is_require_equals_set()
}

fn is_repeated(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Append)
}

fn values(argument: &Arg) -> Vec<String> {
    let values = argument.get_possible_values();
    values.iter().map(|value| value.get_name().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use micro::registry::{Endpoint, Value};

    use super::*;

    fn records() -> Arc<Vec<ServiceRecord>> {
        let string = |name: &str| Value {
            name: name.into(),
            kind: "string".into(),
            values: Vec::new(),
        };
        let mut greeter = ServiceRecord::new("greeter", "1");
        greeter.endpoints = vec![Endpoint {
            name: "Greeter.Hello".into(),
            request: Some(Value {
                values: vec![string("name")],
                ..string("HelloRequest")
            }),
            ..Endpoint::default()
        }];
        greeter.endpoints[0].request.as_mut().unwrap().kind = "HelloRequest".into();
        Arc::new(vec![greeter, ServiceRecord::new("shop", "1")])
    }

    fn complete(line: &str) -> Vec<String> {
        let mut command = arguments::shell_command();
        command.build();
        candidates(&unfinished(line), &command, records)
    }

    #[test]
    fn every_word_is_completed_as_what_it_is() {
        assert_eq!(complete("str"), ["stream"]);
        assert!(complete("").contains(&"quit".to_owned()));
        assert_eq!(complete("help des"), ["describe"]);
        assert_eq!(complete("get "), ["service"]);
        assert_eq!(complete("get service g"), ["greeter"]);
        assert_eq!(complete("call "), ["greeter", "shop"]);
        assert_eq!(complete("call greeter "), ["Greeter.Hello"]);
        assert_eq!(complete("call shop "), Vec::<String>::new());
        assert_eq!(complete("call greeter Greeter.Hello "), [r#"{"name":"text"}"#]);
        assert_eq!(complete("call greeter Greeter.Hello {} "), Vec::<String>::new());
        assert_eq!(complete("stream greeter Greeter.Hello {} ").len(), 1);
        assert_eq!(complete("call --output "), ["json", "raw", "table"]);
        assert_eq!(complete("call -o raw gr"), ["greeter"]);
        assert_eq!(complete("call --client-request-timeout 2s gr"), ["greeter"]);
        assert_eq!(complete("stats --wa"), ["--watch"]);
        assert_eq!(complete("nonsense "), Vec::<String>::new());
    }
}
