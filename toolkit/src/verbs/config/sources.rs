//! `micro config sources`: each source by itself, so that one that is wrong hides no other.

use std::time::{Duration, Instant};

use clap::ArgMatches;
use clap::parser::ValueSource;
use futures_util::future::join_all;
use micro::Settings;
use micro::config::{Error, SourceState};
use serde_json::{Value, json};

use super::super::output::Output;
use super::code;
use super::sealed::Sealed;
use crate::failure::{Code, Failure, Outcome};
use crate::json;
use crate::quantity;
use crate::screen::{Paint, harmless};
use crate::table::{Cell, Table};
use crate::verb::Session;

/// A source, and what it answered.
struct Answer {
    name: String,
    took: Duration,
    documents: Vec<String>,
    wrong: Option<Wrong>,
}

/// What is wrong with a source.
struct Wrong {
    error: Error,
    /// It may be missing, and it is.
    is_allowed: bool,
}

pub(super) async fn show(words: &ArgMatches, session: &mut Session, names: &[String]) -> Outcome {
    let patience = session.network.patience();
    let settings = session.network.settings();
    let answers = join_all(names.iter().map(|name| ask(settings, name, patience))).await;
    let screen = &mut session.screen;
    // The values of other verbs are JSON by default, a list for people is none.
    let is_chosen = words.value_source("output") == Some(ValueSource::CommandLine);
    if is_chosen && Output::of(words) != Output::Table {
        let sources: Value = answers.iter().map(Answer::as_json).collect();
        screen.line(json::indented(&sources.to_string(), screen.palette))?;
    } else {
        for line in table(&answers).lines(screen.palette, screen.width) {
            screen.line(line)?;
        }
        for wrong in answers.iter().filter_map(|answer| answer.wrong.as_ref()) {
            if !wrong.is_allowed {
                let text = harmless(&wrong.error.to_string()).into_owned();
                screen.line(screen.palette.paint(Paint::Bad, text))?;
            }
        }
    }
    outcome(&answers)
}

/// A mistake in what a source says weighs more than one that is away.
fn outcome(answers: &[Answer]) -> Outcome {
    let wrong = answers.iter().filter_map(|answer| answer.wrong.as_ref());
    let codes: Vec<Code> = wrong
        .filter(|wrong| !wrong.is_allowed)
        .map(|wrong| code(&wrong.error))
        .collect();
    let heaviest = [Code::Failed, Code::Usage, Code::NotFound, Code::Unreachable];
    match heaviest.into_iter().find(|code| codes.contains(code)) {
        Some(code) => Err(Failure::Shown(code)),
        None => Ok(()),
    }
}

async fn ask(settings: &Settings, name: &str, patience: Duration) -> Answer {
    let began = Instant::now();
    let read = async {
        let builder = settings.config_builder(&[name]).await?;
        builder.decrypt(Sealed).patience(patience).build().await
    };
    let read = read.await;
    let mut answer = Answer {
        name: name.to_owned(),
        took: began.elapsed(),
        documents: Vec::new(),
        wrong: None,
    };
    match read {
        Ok(config) => {
            for status in config.sources() {
                let is_missing = matches!(status.state, SourceState::Missing { .. });
                answer.documents.extend(status.documents);
                answer.wrong = status.state.error().map(|error| Wrong {
                    error: error.clone(),
                    is_allowed: is_missing,
                });
            }
        }
        Err(error) => {
            answer.wrong = Some(Wrong {
                error,
                is_allowed: false,
            });
        }
    }
    answer
}

impl Answer {
    fn state(&self) -> &'static str {
        match &self.wrong {
            None => "ok",
            Some(Wrong { error, .. }) => match code(error) {
                Code::NotFound => "missing",
                Code::Unreachable => "unreachable",
                Code::Usage => "unknown",
                Code::Failed => "invalid",
            },
        }
    }

    fn as_json(&self) -> Value {
        let mut source = json!({
            "source": self.name,
            "state": self.state(),
            "milliseconds": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            "documents": self.documents,
        });
        if let Some(wrong) = &self.wrong {
            source["error"] = wrong.error.to_string().into();
        }
        source
    }
}

fn table(answers: &[Answer]) -> Table {
    let mut table = Table::new(&["SOURCE", "STATE", "TIME", "DOCUMENTS"]).right(&[2]);
    for answer in answers {
        let paint = match &answer.wrong {
            None => Paint::Good,
            Some(Wrong { is_allowed: true, .. }) => Paint::Quiet,
            Some(_) => Paint::Bad,
        };
        table.row([
            Cell::painted(&answer.name, Paint::Name),
            Cell::painted(answer.state(), paint),
            quantity::moment(answer.took).into(),
            documents(&answer.documents).into(),
        ]);
    }
    table
}

/// The first names; of many variables the rest is counted.
fn documents(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let mut text = names
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}
