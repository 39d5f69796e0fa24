//! What goes out with a call, and how its answers are printed.

use std::io::{self, Read};

use clap::{Arg, ArgAction, ArgMatches};
use micro::client::CallOptions;
use micro::codec::JSON;
use micro::{Body, Client, Metadata, Request};

use super::output::Output;
use crate::failure::{Failure, Outcome};
use crate::json;
use crate::screen::Screen;
use crate::table::Table;
use crate::verb::{Place, Session};

/// A request from standard input is read as a whole; this is more than a transport would take.
const LARGEST: u64 = 64 << 20;

/// The words of verbs that call.
pub(super) fn arguments() -> [Arg; 5] {
    [
        Arg::new("service")
            .value_name("SERVICE")
            .required(true)
            .help("The service's name"),
        Arg::new("endpoint")
            .value_name("ENDPOINT")
            .required(true)
            .help("What to call of it, such as Greeter.Hello"),
        Output::of_answers(),
        metadata_argument(),
        Arg::new("address")
            .long("address")
            .value_name("HOST:PORT")
            .help("Calls this address, whatever the registry knows"),
    ]
}

/// The flag `--metadata`.
pub(super) fn metadata_argument() -> Arg {
    Arg::new("metadata")
        .long("metadata")
        .short('m')
        .value_name("KEY=VALUE")
        .action(ArgAction::Append)
        .help("Travels beside it, such as Authorization=…; may be repeated")
}

/// The pairs of that flag.
pub(super) fn metadata(words: &ArgMatches) -> Outcome<Metadata> {
    let pair = |pair: &String| {
        let (name, value) = pair
            .split_once(['=', ':'])
            .filter(|(name, _)| !name.trim().is_empty())
            .ok_or_else(|| Failure::usage(format!("--metadata {pair}: write it as KEY=VALUE")))?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    };
    let pairs = words.get_many::<String>("metadata").unwrap_or_default();
    pairs.map(pair).collect()
}

/// A word that must be there, because the parser requires it.
pub(super) fn word<'a>(words: &'a ArgMatches, name: &str) -> &'a str {
    words.get_one::<String>(name).map_or("", String::as_str)
}

/// A request in JSON with the metadata of the words.
pub(super) fn request(words: &ArgMatches, body: impl Into<Body>) -> Outcome<Request> {
    let mut request = Request::new(word(words, "service"), word(words, "endpoint"), body);
    request.content_type = JSON;
    request.metadata = metadata(words)?;
    Ok(request)
}

/// The client, for the address of the words if there is one.
pub(super) async fn client(words: &ArgMatches, session: &Session) -> Outcome<Client> {
    let client = session.network.client().await?;
    let addresses = words.get_one::<String>("address").into_iter().cloned();
    Ok(client.with_options(CallOptions {
        addresses: addresses.collect(),
        ..CallOptions::default()
    }))
}

/// Standard input as a whole, for the word `-`.
pub(super) async fn standard_input(session: &Session) -> Outcome<String> {
    if session.place == Place::Shell {
        return Err(Failure::usage(
            "`-` reads standard input, which is the shell's own here; write the JSON itself",
        ));
    }
    let read = || {
        let mut text = String::new();
        io::stdin().take(LARGEST).read_to_string(&mut text).map(|_| text)
    };
    let text = tokio::task::spawn_blocking(read).await;
    let text = text.map_err(io::Error::other).and_then(|read| read);
    text.map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))
}

/// Refuses what is no JSON, before anybody is asked.
pub(super) fn check(words: &ArgMatches, text: &str) -> Outcome {
    json::check(text).map_err(|problem| {
        let service = word(words, "service");
        Failure::usage(format!("the request is no JSON: {problem}"))
            .try_this(format!(
                "micro describe {service}, which shows a request for each endpoint"
            ))
            .try_this("single quotes around the request, so that the shell leaves it alone")
    })
}

/// The same for an event, of which no endpoint tells the shape.
pub(super) fn check_event(text: &str) -> Outcome {
    json::check(text).map_err(|problem| {
        Failure::usage(format!("the event is no JSON: {problem}"))
            .try_this("single quotes around it, so that the shell leaves it alone")
    })
}

/// Prints an answer.
pub(super) fn print(screen: &mut Screen, output: Output, answer: &[u8]) -> Outcome {
    if output == Output::Raw {
        screen.raw(answer)?;
        return Ok(());
    }
    let text = String::from_utf8_lossy(answer);
    if output == Output::Table
        && let Some(table) = as_table(&text)
    {
        for line in table.lines(screen.palette, screen.width) {
            screen.line(line)?;
        }
        return Ok(());
    }
    screen.line(json::indented(&text, screen.palette))?;
    Ok(())
}

/// The fields of an object as rows; of an array of objects each as a few rows. `None` for anything else.
fn as_table(text: &str) -> Option<Table> {
    if let Some(fields) = json::fields(text) {
        let mut table = Table::new(&["FIELD", "VALUE"]);
        for (name, value) in fields {
            table.row([name.into(), json::cell(&value).into()]);
        }
        return Some(table);
    }
    let mut table = Table::new(&["ITEM", "FIELD", "VALUE"]).right(&[0]);
    for (number, item) in json::items(text)?.iter().enumerate() {
        let number = number.to_string();
        let fields = json::fields(item).unwrap_or_else(|| vec![(String::new(), item.clone())]);
        for (name, value) in fields {
            table.row([number.as_str().into(), name.into(), json::cell(&value).into()]);
        }
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::Palette;

    #[test]
    fn objects_and_arrays_are_tables() {
        let lines = |text| as_table(text).map(|table| table.lines(Palette::PLAIN, None));
        let object = lines(r#"{"name":"Ann","tags":["a", "b"]}"#).unwrap();
        assert_eq!(object, ["FIELD  VALUE", "name   Ann", r#"tags   ["a","b"]"#]);
        let array = lines(r#"[{"id":1},"x"]"#).unwrap();
        assert_eq!(array, ["ITEM  FIELD  VALUE", "   0  id     1", "   1         x"]);
        assert!(lines("7").is_none());
    }
}
