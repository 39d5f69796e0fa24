//! The values of all arguments, and where each came from.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use clap::ArgMatches;

use super::Arguments;
use super::argument::{Argument, Kind};
use super::section::Section;
use crate::log::LiveLevel;
use crate::plugins::unknown;

/// The values of all arguments, and where each came from. Arguments without a value are absent.
#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    values: HashMap<&'static str, Value>,
    pub(super) environment: Arc<HashMap<String, String>>,
}

#[derive(Debug, Clone)]
struct Value {
    texts: Vec<String>,
    source: Source,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// How the argument is written.
    Argument(String),
    Variable(&'static str),
    /// The path in the configuration, and the place that says it.
    #[cfg(feature = "config")]
    Config(String),
    /// The flag's name and the profile's.
    Profile(&'static str, String),
    Default(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(argument) => formatter.write_str(argument),
            Self::Variable(variable) => write!(formatter, "the variable {variable}"),
            #[cfg(feature = "config")]
            Self::Config(place) => formatter.write_str(place),
            Self::Profile(flag, profile) => write!(formatter, "--{flag} of the profile {profile}"),
            Self::Default(flag) => write!(formatter, "the default of --{flag}"),
        }
    }
}

impl Values {
    pub(super) fn read(given: &Given, section: &Section) -> Result<Self, String> {
        let arguments = &given.arguments;
        let mut values = Self::default();
        // First, because the others depend on it.
        let mut all: Vec<_> = arguments.all().collect();
        all.sort_by_key(|argument| argument.name != "profile");
        let mut profile = None;
        for argument in all {
            if let Some(value) = value(given, section, profile.as_ref(), argument)? {
                values.values.insert(argument.name, value);
            } else if argument.is_required {
                let variable = argument.variable.map(|name| format!(" or the variable {name}"));
                let shown = argument.shown();
                return Err(format!("{shown}{} is required", variable.unwrap_or_default()));
            }
            if argument.name == "profile" {
                profile = values.profile(arguments)?;
            }
        }
        values.environment = given.readable.clone();
        Ok(values)
    }

    /// What the user says for an argument, and nobody else.
    #[cfg(feature = "config")]
    pub(super) fn of_user(given: &Given, name: &str) -> Result<Vec<String>, String> {
        let Some(argument) = given.arguments.all().find(|argument| argument.name == name) else {
            return Ok(Vec::new());
        };
        let value = value(given, &Section::default(), None, argument)?;
        Ok(value.map(|value| value.texts).unwrap_or_default())
    }

    /// The arguments that others have another value for.
    #[cfg(feature = "config")]
    pub(super) fn differing<'a>(&'a self, others: &'a Self) -> impl Iterator<Item = &'static str> + 'a {
        let names = self.values.keys().chain(
            others
                .values
                .keys()
                .filter(|name| !self.values.contains_key(*name)),
        );
        names.copied().filter(|name| self.list(name) != others.list(name))
    }

    fn profile<'a>(&self, arguments: &'a Arguments) -> Result<Option<Profile<'a>>, String> {
        let Some(name) = self.get("profile") else {
            return Ok(None);
        };
        let plugins = &arguments.plugins;
        match plugins.profile_named(name) {
            Some(values) => Ok(Some(Profile {
                name: name.to_owned(),
                values,
            })),
            None => Err(self.about("profile", &unknown("profile", name, plugins.profiles()))),
        }
    }

    /// The value, or the last one of several.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.list(name).last().map(String::as_str)
    }

    pub(super) fn list(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], |value| &value.texts)
    }

    /// Whether the user gave it, and not a profile or default.
    pub(super) fn is_given(&self, name: &str) -> bool {
        let source = self.values.get(name).map(|value| &value.source);
        match source {
            Some(Source::Argument(_) | Source::Variable(_)) => true,
            #[cfg(feature = "config")]
            Some(Source::Config(_)) => true,
            _ => false,
        }
    }

    pub(super) fn is_on(&self, name: &str) -> Result<bool, String> {
        let on = self.read_as(name, |text| match text.to_ascii_lowercase().as_str() {
            "1" | "t" | "true" | "y" | "yes" | "on" => Ok(true),
            "0" | "f" | "false" | "n" | "no" | "off" => Ok(false),
            _ => Err(format!("{text:?} is neither true nor false")),
        })?;
        Ok(on.unwrap_or(false))
    }

    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        self.read_as(name, |text| {
            let wrong = |_| format!("{text:?} is no whole number from 0 on, or too large");
            text.parse().map_err(wrong)
        })
    }

    /// Reads a value; the error says where it came from.
    pub(super) fn read_as<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        let read = self.get(name).map(read).transpose();
        read.map_err(|problem| self.about(name, &problem))
    }

    /// Puts where a value came from before what is wrong with it.
    pub(super) fn about(&self, name: &str, problem: &str) -> String {
        match self.values.get(name) {
            Some(value) => format!("{}: {problem}", value.source),
            None => format!("--{name}: {problem}"),
        }
    }
}

/// What a program was given to read, and what it accepts.
pub(super) struct Given {
    pub(super) arguments: Arguments,
    matches: ArgMatches,
    environment: HashMap<OsString, OsString>,
    /// The part of the environment that is text.
    pub(super) readable: Arc<HashMap<String, String>>,
    pub(super) live_level: LiveLevel,
}

impl Given {
    pub(super) fn new(
        arguments: &Arguments,
        matches: &ArgMatches,
        environment: HashMap<OsString, OsString>,
    ) -> Self {
        let readable = environment
            .iter()
            .filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value.to_str()?.to_owned())))
            .collect();
        Self {
            arguments: arguments.clone(),
            matches: matches.clone(),
            environment,
            readable: Arc::new(readable),
            live_level: LiveLevel::default(),
        }
    }
}

struct Profile<'a> {
    name: String,
    values: &'a [(String, String)],
}

fn value(
    given: &Given,
    section: &Section,
    profile: Option<&Profile<'_>>,
    argument: &Argument,
) -> Result<Option<Value>, String> {
    let name = argument.name;
    let found = |texts: Vec<String>, source| {
        let texts = split(argument, texts);
        (!texts.is_empty()).then_some(Value { texts, source })
    };
    let words = given.matches.get_many::<String>(name).unwrap_or_default();
    if let Some(value) = found(words.cloned().collect(), Source::Argument(argument.shown())) {
        return Ok(Some(value));
    }
    if let Some(variable) = argument.variable
        && let Some(text) = given.environment.get(OsStr::new(variable))
    {
        let text = text
            .to_str()
            .ok_or_else(|| format!("the variable {variable} is not valid UTF-8"))?;
        if let Some(value) = found(vec![text.to_owned()], Source::Variable(variable)) {
            return Ok(Some(value));
        }
    }
    #[cfg(feature = "config")]
    if let Some(said) = section.get(name)
        && let Some(value) = found(said.texts.clone(), Source::Config(said.place.clone()))
    {
        return Ok(Some(value));
    }
    #[cfg(not(feature = "config"))]
    let _ = section;
    if let Some(profile) = profile
        && let Some((_, text)) = profile.values.iter().find(|(flag, _)| flag == name)
    {
        return Ok(found(
            vec![text.clone()],
            Source::Profile(name, profile.name.clone()),
        ));
    }
    let default = given.arguments.default_of(argument).map(str::to_owned);
    Ok(found(default.into_iter().collect(), Source::Default(name)))
}

/// The parts of a list; without empty texts, which count as not given.
fn split(argument: &Argument, texts: Vec<String>) -> Vec<String> {
    #[cfg(feature = "config")]
    if argument.name == super::CONFIG {
        return texts
            .iter()
            .flat_map(|text| crate::plugins::sources::split(text))
            .filter(|name| !name.is_empty())
            .collect();
    }
    let texts: Vec<String> = if argument.kind == Kind::List {
        let parts = texts.iter().flat_map(|text| text.split(','));
        parts.map(|part| part.trim().to_owned()).collect()
    } else {
        texts
    };
    texts.into_iter().filter(|text| !text.is_empty()).collect()
}
