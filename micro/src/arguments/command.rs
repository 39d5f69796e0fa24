//! The parser and its help, made from the table.

use clap::builder::StyledStr;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Arg, ArgAction, Command};

use super::Arguments;
use super::argument::{Argument, Kind};
use crate::Plugins;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// The help is never wider than this, lest lines be hard to read.
const WIDEST: usize = 100;

impl Arguments {
    /// The parser of these arguments as one of clap, version 4, for a program that adds subcommands to it. What it
    /// has matched is read with [`settings_from`](Self::settings_from).
    ///
    /// The parser expects no program's name before the arguments. Its flags are not global: where they are to count
    /// behind a subcommand too, say so with `mut_args(|argument| argument.global(true))`.
    ///
    /// ```
    /// use micro::Arguments;
    ///
    /// let arguments = Arguments::new("tool");
    /// let mut command = arguments
    ///     .to_clap()
    ///     .mut_args(|argument| argument.global(true))
    ///     .subcommand(clap::Command::new("greet"));
    /// let matches = command
    ///     .try_get_matches_from_mut(["greet", "--client_request_timeout=2s"])
    ///     .unwrap();
    /// let settings = arguments.settings_from(&matches, [("", ""); 0]).unwrap();
    /// assert_eq!(settings.client.request_timeout.as_secs(), 2);
    /// ```
    pub fn to_clap(&self) -> Command {
        self.command()
    }

    pub(super) fn command(&self) -> Command {
        let program = self.program.as_ref().unwrap_or(&self.name);
        let framework = concat!("(micro ", env!("CARGO_PKG_VERSION"), ")");
        let version = match &self.version {
            Some(version) => format!("{version} {framework}"),
            None => framework.to_owned(),
        };
        let mut command = Command::new(self.name.clone())
            .bin_name(program.clone())
            .version(version)
            .styles(STYLES)
            .no_binary_name(true)
            .args_override_self(true)
            .max_term_width(WIDEST)
            .after_help(examples(program));
        if let Some(width) = self.width {
            command = command.term_width(width);
        }
        if let Some(about) = &self.about {
            command = command.about(about.clone());
        }
        // The program's own come first in the help.
        for argument in self.own.iter().chain(super::table::FLAGS) {
            command = command.arg(self.arg(argument));
        }
        command
    }

    fn arg(&self, argument: &Argument) -> Arg {
        let arg = Arg::new(argument.name).help(self.help(argument));
        let arg = match argument.group {
            Some(group) => arg.help_heading(group).next_line_help(true),
            None => arg,
        };
        let arg = arg.required(self.must_be_given(argument));
        if argument.is_positional() {
            let action = if argument.kind == Kind::Rest {
                ArgAction::Append
            } else {
                ArgAction::Set
            };
            return arg.value_name(argument.name.to_uppercase()).action(action);
        }
        let arg = arg
            .long(argument.name)
            .alias(argument.name.replace('_', "-"))
            .alias(argument.name.replace('-', "_"))
            .value_name(argument.value_name)
            .allow_negative_numbers(true);
        match argument.kind {
            Kind::List => arg.action(ArgAction::Append),
            Kind::Switch => arg
                .value_name("BOOL")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true"),
            _ => arg,
        }
    }

    /// Whether nothing else than the command line can say it.
    pub(super) fn must_be_given(&self, argument: &Argument) -> bool {
        argument.is_required && argument.variable.is_none() && self.default_of(argument).is_none()
    }

    /// What counts for an argument when the user says nothing.
    pub(super) fn default_of(&self, argument: &Argument) -> Option<&str> {
        let own = self.defaults.iter().rev().find(|(flag, _)| flag == argument.name);
        let own = own.map(|(_, value)| value.as_str());
        own.filter(|value| !value.is_empty()).or(match argument.name {
            "registry" => default_registry(&self.plugins),
            "server_version" => self.version.as_deref(),
            _ => argument.default,
        })
    }

    fn help(&self, argument: &Argument) -> String {
        let mut help = argument.help.to_owned();
        let names: Vec<_> = match argument.name {
            "registry" => self.plugins.registries().collect(),
            "transport" => self.plugins.transports().collect(),
            "broker" => self.plugins.brokers().collect(),
            "selector" => self.plugins.strategies().collect(),
            "profile" => self.plugins.profiles().collect(),
            #[cfg(feature = "config")]
            super::CONFIG => self.plugins.sources().collect(),
            _ => Vec::new(),
        };
        if !names.is_empty() {
            help += &format!(": {}", names.join(", "));
        }
        if argument.name == "log_level" && cfg!(not(feature = "log")) {
            help += ", in so far as this program asks for it";
        }
        if let Some(default) = self.default_of(argument) {
            help += &format!(" [default={default}]");
        }
        if let Some(variable) = argument.variable {
            help += &format!(" [env={variable}]");
        }
        help
    }
}

/// The registry that works without any server, if it is linked.
fn default_registry(plugins: &Plugins) -> Option<&str> {
    let wanted = ["mdns", "memory"];
    let known = |name: &&str| plugins.registries().any(|known| known == *name);
    wanted
        .into_iter()
        .find(known)
        .or_else(|| plugins.registries().next())
}

fn examples(program: &str) -> StyledStr {
    use std::fmt::Write;

    let (header, literal) = (STYLES.get_header(), STYLES.get_literal());
    let lines = [
        ("listen on one port only", "--server_address=127.0.0.1:8080"),
        (
            "stay within this machine",
            "--registry=mdns --registry_address=lo",
        ),
        ("the same by a variable", "MICRO_REGISTRY_ADDRESS=lo"),
        (
            "encrypt",
            "--tls_cert=node.pem --tls_key=node.key --tls_ca=ca.pem",
        ),
        ("see every call", "--log_level=info,micro_core=debug"),
        #[cfg(feature = "config")]
        ("follow a file", "--config=conf.toml"),
    ];
    let mut text = StyledStr::new();
    let _ = writeln!(
        text,
        "Names may be written with dashes as well: --registry-address.\n"
    );
    let _ = writeln!(text, "{header}Examples:{header:#}");
    for (what, arguments) in lines {
        let call = if arguments.starts_with("--") {
            format!("{program} {arguments}")
        } else {
            format!("{arguments} {program}")
        };
        let _ = writeln!(text, "  # {what}\n  {literal}{call}{literal:#}");
    }
    text
}
