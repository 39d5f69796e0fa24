//! `micro health`: does every node answer, and what does it say of itself.

use async_trait::async_trait;
use clap::{Arg, ArgMatches, Command};
use serde_json::Value;

use super::output::Output;
use crate::failure::{Code, Failure, Outcome};
use crate::json;
use crate::nodes::{self, Answer, Silence};
use crate::quantity;
use crate::screen::{Paint, remark};
use crate::table::{Cell, Table};
use crate::verb::{Session, Verb};

pub(crate) struct Health;

#[async_trait(?Send)]
impl Verb for Health {
    fn command(&self) -> Command {
        Command::new("health")
            .about("Asks every node how it is (Debug.Health)")
            .arg(
                Arg::new("service")
                    .value_name("SERVICE")
                    .help("Only the nodes of this service; all by default"),
            )
            .arg(Output::text_or_json())
            .after_help(
                "Ends with 0 if every node answers, with 4 if one does not, with 1 if one is not well.\n\n\
                 Examples:\n  micro health\n  micro health greeter --output json",
            )
    }

    async fn run(&self, words: &ArgMatches, session: &mut Session) -> Outcome {
        let service = words.get_one::<String>("service").map(String::as_str);
        let places = nodes::places(&session.network, service).await?;
        let answers = nodes::ask_all(&session.network, places, "Debug.Health", "{}").await?;
        let screen = &mut session.screen;
        if Output::of(words) == Output::Json {
            screen.line(json::indented(&nodes::as_json(&answers), screen.palette))?;
        } else if answers.is_empty() {
            remark("no nodes are known here; `micro doctor` tells whether that is right");
        } else {
            for line in table(&answers).lines(screen.palette, screen.width) {
                screen.line(line)?;
            }
        }
        nodes::outcome(&answers)?;
        if answers.iter().any(is_unwell) {
            return Err(Failure::Shown(Code::Failed));
        }
        Ok(())
    }
}

fn is_unwell(answer: &Answer) -> bool {
    answer.result.as_ref().is_ok_and(|health| status(health) != "ok")
}

fn status(health: &Value) -> &str {
    health["status"].as_str().unwrap_or("no status")
}

fn table(answers: &[Answer]) -> Table {
    let mut table = Table::new(&["SERVICE", "VERSION", "NODE", "ADDRESS", "TIME", "STATUS"])
        .whole(&[3])
        .right(&[4]);
    for answer in answers {
        let status = match &answer.result {
            Ok(health) if status(health) == "ok" => Cell::painted("ok", Paint::Good),
            Ok(health) => Cell::painted(status(health), Paint::Bad),
            Err(silence @ Silence::NoDebug) => Cell::painted(silence.summary(), Paint::Quiet),
            Err(silence) => Cell::painted(silence.summary(), Paint::Bad),
        };
        table.row([
            Cell::painted(&answer.place.service, Paint::Name),
            answer.place.version.as_str().into(),
            answer.place.node.id.as_str().into(),
            answer.place.node.address.as_str().into(),
            quantity::moment(answer.took).into(),
            status,
        ]);
    }
    table
}
