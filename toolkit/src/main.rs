//! The command `micro`: looks at the services of a network, calls them, and finds out what is wrong.

mod arguments;
mod verb;
mod verbs;
mod shell;
mod network;
mod nodes;
mod advice;
mod failure;
mod ending;
mod screen;
mod secret;
mod table;
mod shape;
mod json;
mod quantity;

use std::process::ExitCode;
use std::sync::Arc;

use crate::failure::{Failure, Outcome};
use crate::network::Network;
use crate::screen::Screen;
use crate::verb::{Place, Session};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.code())
        }
    }
}

async fn run() -> Outcome {
    let words = std::env::args_os().skip(1);
    let asked = arguments::read(arguments::command(), words, std::env::vars_os())?;
    asked.settings.start_log();
    for warning in &asked.settings.warnings {
        screen::remark(&format!("warning: {warning}"));
    }
    let verb = verb::named(&asked.verb).ok_or_else(|| Failure::usage("no verb was given"))?;
    let mut session = Session {
        network: Arc::new(Network::new(asked.settings)),
        screen: Screen::stdout(),
        place: Place::Process,
    };
    verb.run(&asked.words, &mut session).await
}
