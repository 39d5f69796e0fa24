//! `micro publish`: one event to all who subscribed.

use async_trait::async_trait;
use clap::{Arg, ArgMatches, Command};
use micro::Client;
use micro::client::CallOptions;
use micro::codec::JSON;

use super::message::{self, word};
use crate::failure::{Code, Failure, Outcome};
use crate::verb::{Session, Verb};

pub(crate) struct Publish;

#[async_trait(?Send)]
impl Verb for Publish {
    fn command(&self) -> Command {
        Command::new("publish")
            .about("Publishes a JSON event to all who subscribed to its topic")
            .arg(
                Arg::new("topic")
                    .value_name("TOPIC")
                    .required(true)
                    .help("The topic"),
            )
            .arg(
                Arg::new("event")
                    .value_name("JSON")
                    .required(true)
                    .allow_negative_numbers(true)
                    .help("The event; `-` reads it from standard input"),
            )
            .arg(message::metadata_argument())
            .after_help(
                "Examples:\n  micro publish orders.placed '{\"order\":7}'\n  \
                 micro publish orders.placed - --metadata Tenant=acme < event.json",
            )
    }

    async fn run(&self, words: &ArgMatches, session: &mut Session) -> Outcome {
        let text = match word(words, "event") {
            "-" => message::standard_input(session).await?,
            text => text.to_owned(),
        };
        message::check_event(&text)?;
        let network = &session.network;
        let broker = network.broker().await?.clone();
        let client = Client::builder(network.registry().await?.clone(), network.transport().await?)
            .broker(broker.clone())
            .build()
            .with_options(CallOptions {
                timeout: Some(network.patience()),
                metadata: message::metadata(words)?,
                ..CallOptions::default()
            });
        let topic = word(words, "topic");
        let published = client.publish_encoded(topic, JSON, text).await;
        published.map_err(|error| Failure::of(&error).try_this("micro doctor"))?;
        // What subscribers have not taken yet would end with this process.
        match network.limited(broker.flush()).await {
            Ok(flushed) => flushed.map_err(|error| Failure::of(&error)),
            Err(_) => {
                let patience = network.patience();
                let what = format!("a subscriber of {topic} did not take the event within {patience:?}");
                Err(Failure::new(Code::Unreachable, what)
                    .try_this("--client_request_timeout=… for more time")
                    .try_this(
                        "micro get service micro.http.broker, which lists subscribers of the broker http",
                    ))
            }
        }
    }
}
