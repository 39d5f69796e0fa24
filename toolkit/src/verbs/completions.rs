//! `micro completions`: what a shell needs to complete this command.

use async_trait::async_trait;
use clap::{Arg, ArgMatches, Command};
use clap_complete::Shell;

use super::message::word;
use crate::arguments;
use crate::failure::{Failure, Outcome};
use crate::verb::{Session, Verb};

pub(crate) struct Completions;

#[async_trait(?Send)]
impl Verb for Completions {
    fn command(&self) -> Command {
        Command::new("completions")
            .about("Prints the completions of this command for a shell")
            .arg(
                Arg::new("shell")
                    .value_name("SHELL")
                    .required(true)
                    .value_parser(["bash", "zsh", "fish"])
                    .help("The shell that is to complete"),
            )
            .after_help(
                "Examples:\n  \
                 micro completions bash > ~/.local/share/bash-completion/completions/micro\n  \
                 micro completions zsh > ~/.zfunc/_micro\n  \
                 micro completions fish > ~/.config/fish/completions/micro.fish",
            )
    }

    async fn run(&self, words: &ArgMatches, session: &mut Session) -> Outcome {
        let shell: Shell = word(words, "shell")
            .parse()
            .map_err(|problem: String| Failure::usage(problem))?;
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut arguments::command(), "micro", &mut script);
        session.screen.raw(&script)?;
        Ok(())
    }

    fn is_for_shell(&self) -> bool {
        false
    }
}
