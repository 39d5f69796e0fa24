//! The verbs: what each accepts, and what it does.

use std::sync::Arc;

use async_trait::async_trait;
use clap::{ArgMatches, Command};

use crate::failure::Outcome;
use crate::network::Network;
use crate::screen::Screen;
use crate::verbs;

/// One thing that the command can do. Every verb is a file of its own; [`VERBS`] is the only list.
///
/// Verbs run where `main` does, one after the other, so that they need not be able to change threads.
#[async_trait(?Send)]
pub(crate) trait Verb: Sync {
    /// Its name, words and help. The framework's flags are added to it.
    fn command(&self) -> Command;

    /// Does it. In the shell it may be dropped at any point, when the user interrupts it.
    async fn run(&self, words: &ArgMatches, session: &mut Session) -> Outcome;

    /// Whether the shell has it.
    fn is_for_shell(&self) -> bool {
        true
    }
}

/// What a verb works with.
pub(crate) struct Session {
    /// Whom to ask.
    pub(crate) network: Arc<Network>,
    /// Where to print.
    pub(crate) screen: Screen,
    /// Where the verb was typed.
    pub(crate) place: Place,
}

/// Where a verb was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the command line: the process ends with the verb, and standard input is the verb's.
    Process,
    /// In the shell, whose network goes on when the verb has ended.
    Shell,
}

/// All verbs, in the order of the help.
pub(crate) const VERBS: &[&dyn Verb] = &[
    &verbs::list::List,
    &verbs::list::Services,
    &verbs::get::Get,
    &verbs::describe::Describe,
    &verbs::call::Call,
    &verbs::stream::Stream,
    &verbs::publish::Publish,
    &verbs::subscribe::Subscribe,
    &verbs::health::Health,
    &verbs::stats::Stats,
    &verbs::logs::Logs,
    &verbs::trace::Trace,
    &verbs::register::Register,
    &verbs::deregister::Deregister,
    &verbs::doctor::Doctor,
    &verbs::config::Configuration,
    &verbs::cli::Cli,
    &verbs::completions::Completions,
];

/// The verb of a name.
pub(crate) fn named(name: &str) -> Option<&'static dyn Verb> {
    VERBS
        .iter()
        .copied()
        .find(|verb| verb.command().get_name() == name)
}
