//! `micro cli`: the same verbs, one line each.

use async_trait::async_trait;
use clap::{ArgMatches, Command};

use crate::arguments;
use crate::failure::Outcome;
use crate::shell;
use crate::verb::{Session, Verb};

pub(crate) struct Cli;

#[async_trait(?Send)]
impl Verb for Cli {
    fn command(&self) -> Command {
        Command::new("cli")
            .visible_alias("shell")
            .about("Starts a shell with the same verbs, completion and history")
            .after_help(
                "Lines may come from a pipe, too: then it ends with the code of the last verb that failed.\n\n\
                 Examples:\n  micro cli\n  micro cli --registry_address=lo\n  micro cli < checks.txt",
            )
    }

    async fn run(&self, words: &ArgMatches, session: &mut Session) -> Outcome {
        shell::run(session, arguments::as_variables(words)).await
    }

    fn is_for_shell(&self) -> bool {
        false
    }
}
