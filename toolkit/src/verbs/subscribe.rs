//! `micro subscribe`: prints the events of a topic as they come.

use async_trait::async_trait;
use clap::{Arg, ArgMatches, Command, value_parser};
use micro::broker::{Event, SubscribeOptions};

use super::message::{self, word};
use super::output::Output;
use crate::ending::Ending;
use crate::failure::{Failure, Outcome};
use crate::screen::{Paint, harmless, remark};
use crate::verb::{Place, Session, Verb};

pub(crate) struct Subscribe;

#[async_trait(?Send)]
impl Verb for Subscribe {
    fn command(&self) -> Command {
        Command::new("subscribe")
            .about("Prints the events of a topic as they come, until Ctrl-C")
            .arg(
                Arg::new("topic")
                    .value_name("TOPIC")
                    .required(true)
                    .help("The topic"),
            )
            .arg(
                Arg::new("queue")
                    .long("queue")
                    .value_name("QUEUE")
                    .help("Shares the events with all subscribers of this queue: one of them gets each"),
            )
            .arg(
                Arg::new("count")
                    .long("count")
                    .value_name("NUMBER")
                    .value_parser(value_parser!(u64).range(1..))
                    .help("Ends after so many events"),
            )
            .arg(
                Arg::new("header")
                    .long("header")
                    .action(clap::ArgAction::SetTrue)
                    .help("Prints each event's headers before it"),
            )
            .arg(Output::of_answers())
            .after_help(
                "With the broker http, --broker_address says where this process listens for events: 127.0.0.1:0 unless \
                 given, which only publishers of this machine reach; :0 is for all.\n\nExamples:\n  micro subscribe orders.placed\n  \
                 micro subscribe orders.placed --queue billing --count 10 --output raw",
            )
    }

    async fn run(&self, words: &ArgMatches, session: &mut Session) -> Outcome {
        let broker = session.network.broker().await?.clone();
        let options = SubscribeOptions {
            queue: words.get_one::<String>("queue").map(Into::into),
            ..SubscribeOptions::default()
        };
        let topic = word(words, "topic");
        let subscribed = session.network.limited(broker.subscribe(topic, options)).await?;
        let mut events = subscribed.map_err(|error| Failure::of(&error).try_this("micro doctor"))?;
        // In the shell, Ctrl-C drops all this.
        let mut ending = match session.place {
            Place::Process => Some(Ending::new()?),
            Place::Shell => None,
        };
        // On standard error, so that scripts read events alone.
        remark(&format!("subscribed to {topic}"));
        let mut left = words.get_one::<u64>("count").copied().unwrap_or(u64::MAX);
        let mut is_ending = false;
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = told(&mut ending) => {
                    if is_ending {
                        return Ok(());
                    }
                    // What has arrived by now is still printed.
                    is_ending = true;
                    events.drain();
                    continue;
                }
            };
            match event {
                None => return Ok(()),
                // Beyond what was asked for: it goes to another subscriber.
                Some(Ok(event)) if left == 0 => drop(event),
                Some(Ok(event)) => {
                    print(words, session, &event)?;
                    if let Err(error) = event.acknowledge().await {
                        Failure::of(&error).print();
                    }
                    left -= 1;
                    if left == 0 {
                        is_ending = true;
                        events.drain();
                    }
                }
                // The broker goes on by itself.
                Some(Err(error)) => Failure::of(&error).print(),
            }
        }
    }
}

async fn told(ending: &mut Option<Ending>) {
    match ending {
        Some(ending) => ending.told().await,
        None => std::future::pending().await,
    }
}

fn print(words: &ArgMatches, session: &mut Session, event: &Event) -> Outcome {
    let output = Output::of(words);
    let screen = &mut session.screen;
    if words.get_flag("header") {
        let mut header: Vec<_> = event.message().header.iter().collect();
        header.sort_unstable();
        for (name, value) in header {
            let line = format!("{}: {}", harmless(name), harmless(value));
            screen.line(screen.palette.paint(Paint::Quiet, line))?;
        }
    }
    message::print(screen, output, &event.message().body)?;
    if output == Output::Raw && !event.message().body.ends_with(b"\n") {
        screen.line("")?;
    }
    Ok(())
}
