//! `micro call`: one request, one answer.

use async_trait::async_trait;
use clap::{Arg, ArgMatches, Command};

use super::message::{self, word};
use super::output::Output;
use crate::advice;
use crate::failure::Outcome;
use crate::verb::{Session, Verb};

pub(crate) struct Call;

#[async_trait(?Send)]
impl Verb for Call {
    fn command(&self) -> Command {
        Command::new("call")
            .about("Calls an endpoint with a JSON request and prints the answer")
            .args(message::arguments())
            .arg(
                Arg::new("request")
                    .value_name("JSON")
                    .default_value("{}")
                    .allow_negative_numbers(true)
                    .help("The request; `-` reads it from standard input"),
            )
            .after_help(
                "Examples:\n  micro call greeter Greeter.Hello '{\"name\":\"Ann\"}'\n  \
                 micro call shop Orders.List --output table\n  \
                 micro call shop Orders.Place - < order.json\n  \
                 micro call shop Orders.List --address 10.0.0.7:8080 --metadata Tenant=acme",
            )
    }

    async fn run(&self, words: &ArgMatches, session: &mut Session) -> Outcome {
        let text = match word(words, "request") {
            "-" => message::standard_input(session).await?,
            text => text.to_owned(),
        };
        message::check(words, &text)?;
        let request = message::request(words, text.into_bytes())?;
        let client = message::client(words, session).await?;
        let (service, endpoint) = (word(words, "service"), word(words, "endpoint"));
        let answer = match client.request(request).await {
            Ok(response) => response.body.single().await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) => message::print(&mut session.screen, Output::of(words), &answer),
            Err(error) => Err(advice::on_call(&error, &session.network, service, endpoint).await),
        }
    }
}
