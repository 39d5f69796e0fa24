//! `micro config`: what sources of configuration say together, and how they are.

mod sealed;
mod shown;
mod sources;
mod troubles;

use async_trait::async_trait;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use micro::config::{Config, Error, ErrorKind, Origin, Watch};
use serde_json::Value;

use self::sealed::Sealed;
use self::shown::Shown;
use self::troubles::Troubles;
use super::message::{self, word};
use super::output::Output;
use crate::ending::Ending;
use crate::failure::{Code, Failure, Outcome};
use crate::json;
use crate::screen::{Paint, harmless, remark};
use crate::table::{Cell, Table};
use crate::verb::{Place, Session, Verb};

pub(crate) struct Configuration;

/// The verb's name.
pub(crate) const NAME: &str = "config";

#[async_trait(?Send)]
impl Verb for Configuration {
    fn command(&self) -> Command {
        Command::new(NAME)
            .about("Shows what sources of configuration say together, follows it, tells how they are")
            .arg(
                Arg::new("what")
                    .value_name("WHAT")
                    .required(true)
                    .value_parser(["get", "watch", "sources"])
                    .help("Values as they are, values as they change, or the sources"),
            )
            .arg(
                Arg::new("path")
                    .value_name("PATH")
                    .help("Names with dots between them, such as database.pool.size; all by default"),
            )
            .arg(
                Arg::new("show-secrets")
                    .long("show-secrets")
                    .action(ArgAction::SetTrue)
                    .help("Shows values that are secret by their names, too"),
            )
            .arg(
                Arg::new("count")
                    .long("count")
                    .value_name("NUMBER")
                    .value_parser(value_parser!(u64).range(1..))
                    .help("Ends `watch` after so many changes"),
            )
            .arg(Output::of_answers())
            .after_help(
                "--config names the sources, as it does for services. Values are shown as *** where a name says password, \
                 secret, token, key or credential; encrypted ones stay as they are stored. `sources` ends with 1 if one says what makes no sense, with 3 if one is \
                 missing, with 4 if one cannot be reached.\n\nExamples:\n  \
                 micro config get --config=conf.toml\n  \
                 micro config get database.host --config=conf.toml --config=env:SHOP --output raw\n  \
                 micro config get --config=consul:micro/config --output table\n  \
                 micro config watch database --config=etcd:micro/config\n  \
                 micro config sources --config=conf.toml,optional:local.toml",
            )
    }

    async fn run(&self, words: &ArgMatches, session: &mut Session) -> Outcome {
        let names = session.network.settings().values(NAME).to_vec();
        if names.is_empty() {
            return Err(Failure::usage("no source of configuration is named")
                .try_this("--config=FILE, or another source: `micro --help` lists their kinds"));
        }
        match word(words, "what") {
            "sources" => sources::show(words, session, &names).await,
            "watch" => watch(words, session, &names).await,
            _ => get(words, session, &names).await,
        }
    }
}

async fn connect(session: &Session, names: &[String]) -> Outcome<Config> {
    let builder = session.network.settings().config_builder(names).await;
    let builder = builder.map_err(|error| failure(&error))?;
    let builder = builder.decrypt(Sealed).patience(session.network.patience());
    let config = builder.build().await;
    config.map_err(|error| failure(&error).try_this("micro config sources"))
}

async fn get(words: &ArgMatches, session: &mut Session, names: &[String]) -> Outcome {
    let config = connect(session, names).await?;
    let path = word(words, "path");
    let view = config.view();
    let Some(value) = view.value(path) else {
        let failure = Failure::not_found(format!("{path}: no source of the configuration says it"));
        return Err(match nearest(path, &view.paths()) {
            Some(known) => failure.try_this(format!("{known}, which is there")),
            None => failure.try_this("micro config get, which shows all"),
        });
    };
    if Output::of(words) == Output::Table {
        let paths = view.paths();
        let below = paths.iter().filter(|known| is_below(known, path));
        let rows = below.filter_map(|path| {
            let value = shown(words, &config, path, view.value(path)?);
            Some((path.as_str(), value, view.origin_of(path)))
        });
        return print_table(session, rows);
    }
    print(words, session, shown(words, &config, path, value))
}

async fn watch(words: &ArgMatches, session: &mut Session, names: &[String]) -> Outcome {
    // In the shell, Ctrl-C drops all this.
    let mut ending = match session.place {
        Place::Process => Some(Ending::new()?),
        Place::Shell => None,
    };
    let config = connect(session, names).await?;
    let path = word(words, "path");
    let mut changes: Watch<Value> = config.watch(path);
    if let Some(value) = config.view().value(path) {
        print(words, session, shown(words, &config, path, value))?;
    }
    // On standard error, so that scripts read values alone.
    remark(&match path {
        "" => "watching all".to_owned(),
        path => format!("watching {path}"),
    });
    let mut left = words.get_one::<u64>("count").copied().unwrap_or(u64::MAX);
    let mut troubles = Troubles::of(&config);
    while left > 0 {
        let change = tokio::select! {
            change = changes.next() => change,
            () = told(&mut ending) => return Ok(()),
            text = troubles.next() => {
                remark(&text);
                continue;
            }
        };
        match change {
            None => return Ok(()),
            Some(Ok(value)) => print(words, session, shown(words, &config, path, value))?,
            Some(Err(error)) => remark(&error.to_string()),
        }
        left -= 1;
    }
    Ok(())
}

async fn told(ending: &mut Option<Ending>) {
    match ending {
        Some(ending) => ending.told().await,
        None => std::future::pending().await,
    }
}

fn shown(words: &ArgMatches, config: &Config, path: &str, value: Value) -> Value {
    match words.get_flag("show-secrets") {
        true => value,
        false => Shown::new(config, &config.view()).of(path, value),
    }
}

/// A text alone is printed raw without its quotes, for scripts.
fn print(words: &ArgMatches, session: &mut Session, value: Value) -> Outcome {
    let output = Output::of(words);
    let text = match (&value, output) {
        (Value::String(text), Output::Raw) => text.clone(),
        _ => value.to_string(),
    };
    message::print(&mut session.screen, output, text.as_bytes())?;
    if output == Output::Raw {
        session.screen.line("")?;
    }
    Ok(())
}

fn print_table<'a>(
    session: &mut Session,
    rows: impl Iterator<Item = (&'a str, Value, Option<Origin>)>,
) -> Outcome {
    let mut table = Table::new(&["PATH", "VALUE", "FROM"]);
    for (path, value, origin) in rows {
        table.row([
            Cell::painted(path, Paint::Name),
            json::cell(&value.to_string()).into(),
            Cell::painted(
                origin.map(|origin| place(&origin)).unwrap_or_default(),
                Paint::Quiet,
            ),
        ]);
    }
    let screen = &mut session.screen;
    for line in table.lines(screen.palette, screen.width) {
        screen.line(line)?;
    }
    Ok(())
}

fn place(origin: &Origin) -> String {
    match origin.line {
        Some(line) => format!("{} line {line}", origin.document),
        None => origin.document.clone(),
    }
}

fn is_below(path: &str, above: &str) -> bool {
    above.is_empty()
        || path
            .strip_prefix(above)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn nearest<'a>(path: &str, known: &'a [String]) -> Option<&'a String> {
    let likeness = |known: &str| strsim::jaro_winkler(known, path);
    let alike = known.iter().filter(|known| likeness(known) > 0.8);
    alike.max_by(|one, other| likeness(one).total_cmp(&likeness(other)))
}

/// An error of a configuration, with the code that a script sees.
fn failure(error: &Error) -> Failure {
    Failure::new(code(error), harmless(&error.to_string()).into_owned())
}

fn code(error: &Error) -> Code {
    match error.kind() {
        ErrorKind::Missing => Code::NotFound,
        ErrorKind::Unavailable => Code::Unreachable,
        ErrorKind::Misused => Code::Usage,
        _ => Code::Failed,
    }
}
