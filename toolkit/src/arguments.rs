//! The command line: verbs, and the framework's flags before or after them.

use std::ffi::OsString;

use clap::{ArgMatches, Command};
use micro::{Arguments, Settings};

use crate::failure::Outcome;
use crate::verb::{VERBS, Verb};
use crate::verbs::config;

const AFTER_HELP: &str = "\
Exit codes:
  0  done; of a call, the service answered
  1  the service answered an error, or something was found wrong
  2  the command line is wrong, or the request is no JSON
  3  no such service, endpoint or node
  4  nobody answered: refused, cut off, or too late

Examples:
  micro list services
  micro call greeter Greeter.Hello '{\"name\":\"Ann\"}'
  micro --registry_address=lo doctor
  MICRO_REGISTRY_ADDRESS=lo micro cli";

/// The framework's arguments with this program's name.
pub(crate) fn framework() -> Arguments {
    Arguments::new("micro")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Looks at the services of a network, calls them, and finds out what is wrong")
        // What the framework has to say of its work is not what was asked for.
        .default_value("log_level", "error")
}

/// The parser of the process's arguments.
pub(crate) fn command() -> Command {
    with_verbs(framework().to_clap(), |_| true)
        .bin_name("micro")
        .long_about(
            "Looks at the services of a Micro or Go Micro network, calls them, and finds out what is wrong.\n\n\
             The flags of the framework say where the network is. They count before and after the verb, and each \
             has a variable.",
        )
        .after_help(format!(
            "`micro --help` has all flags, `micro help VERB` a verb's words and examples.\n\n{AFTER_HELP}"
        ))
        .after_long_help(AFTER_HELP)
}

/// The parser of a line of the shell.
pub(crate) fn shell_command() -> Command {
    with_verbs(framework().to_clap(), |verb| verb.is_for_shell())
        .subcommand(Command::new("quit").visible_alias("exit").about("Ends the shell"))
        .mut_args(|argument| argument.hide(true))
        .disable_version_flag(true)
        .about("")
        .after_help(
            "`help VERB` has a verb's words and examples. Tab completes, and Ctrl-C interrupts a verb.",
        )
        .help_template("{subcommands}{after-help}")
}

fn with_verbs(command: Command, is_wanted: impl Fn(&dyn Verb) -> bool) -> Command {
    let flags: Vec<_> = command
        .get_arguments()
        .map(|flag| flag.clone().global(true).hide(true))
        .collect();
    let verbs = VERBS.iter().copied().filter(|verb| is_wanted(*verb));
    // In a verb's help the framework's flags would hide those of the verb.
    let verbs = verbs.map(|verb| {
        let note = "The flags of the framework count as well: see `micro --help`.";
        let command = verb.command().args(flags.clone());
        match command.get_after_help().map(ToString::to_string) {
            Some(examples) => command.after_help(format!("{examples}\n\n{note}")),
            None => command.after_help(note),
        }
    });
    // What is laid out over two lines would be shown in the short help all the same.
    command
        .mut_args(|flag| flag.global(true).hide_short_help(true).next_line_help(false))
        .subcommands(verbs)
        .subcommand_value_name("VERB")
        .subcommand_help_heading("Verbs")
        .subcommand_required(true)
        .arg_required_else_help(true)
}

/// What was asked for: settings, the verb's name and its words.
pub(crate) struct Asked {
    pub(crate) settings: Settings,
    pub(crate) verb: String,
    pub(crate) words: ArgMatches,
    /// Whether a flag of the framework was among the words.
    pub(crate) has_flags: bool,
}

/// Reads words and an environment.
///
/// # Errors
///
/// With what is wrong with them, or the help that was asked for.
pub(crate) fn read<E>(
    command: Command,
    words: impl IntoIterator<Item = OsString>,
    environment: E,
) -> Outcome<Asked>
where
    E: IntoIterator<Item = (OsString, OsString)>,
{
    let matches = command.try_get_matches_from(words)?;
    let (verb, words) = matches.subcommand().unwrap_or(("", &matches));
    let framework = match verb {
        // It looks at the configuration of others, whose options may make no sense here.
        config::NAME => framework().leave_config(),
        _ => framework(),
    };
    let settings = framework.settings_from(&matches, environment)?;
    let has_flags = flags(&matches).next().is_some();
    Ok(Asked {
        settings,
        verb: verb.to_owned(),
        words: words.clone(),
        has_flags,
    })
}

/// The framework's flags among what was matched, as the variables that say the same.
pub(crate) fn as_variables(matches: &ArgMatches) -> Vec<(OsString, OsString)> {
    flags(matches)
        .map(|(name, values)| {
            let variable = format!("MICRO_{}", name.to_uppercase());
            (variable.into(), values.join(",").into())
        })
        .collect()
}

fn flags(matches: &ArgMatches) -> impl Iterator<Item = (String, Vec<String>)> {
    let known = framework().to_clap();
    let names: Vec<String> = known
        .get_arguments()
        .map(|flag| flag.get_id().to_string())
        .collect();
    names.into_iter().filter_map(|name| {
        let values = matches.try_get_many::<String>(&name).ok().flatten()?;
        let values: Vec<String> = values.cloned().collect();
        (!values.is_empty()).then_some((name, values))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_parsers_are_well_formed() {
        command().debug_assert();
        shell_command().debug_assert();
    }

    #[test]
    fn flags_count_before_and_after_the_verb() {
        for line in [
            "--registry=memory list services --client-request-timeout 2s",
            "list services --registry memory --client_request_timeout=2s",
            "--client_request_timeout=9s list services --client_request_timeout=2s --registry=memory",
        ] {
            let asked = read(command(), words(line), []).ok().unwrap();
            assert_eq!(asked.settings.registry.name, "memory", "{line}");
            assert_eq!(asked.settings.client.request_timeout.as_secs(), 2, "{line}");
            assert_eq!(asked.verb, "list");
        }
    }

    #[test]
    fn what_a_shell_was_started_with_is_said_again_as_variables() {
        let matches = command()
            .try_get_matches_from(words(
                "cli --registry=memory --registry_address=a,b --registry_address=c",
            ))
            .unwrap();
        let variables = as_variables(&matches);
        assert!(variables.contains(&("MICRO_REGISTRY".into(), "memory".into())));
        assert!(variables.contains(&("MICRO_REGISTRY_ADDRESS".into(), "a,b,c".into())));
        assert_eq!(variables.len(), 2);
    }

    #[test]
    fn every_verb_has_help_with_an_example() {
        for verb in VERBS {
            let command = verb.command();
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let name = command.get_name();
            assert!(help.contains(&format!("  micro {name}")), "{name}: {help}");
            assert!(command.get_about().is_some());
        }
    }
}
