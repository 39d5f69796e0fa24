//! Variables of the environment.

use std::io::{self, Read};
use std::sync::Arc;
use std::{fmt, fs};

use async_trait::async_trait;
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::{Document, Error, ErrorKind, Result, Source, names};

/// The longest text that a file named by a `…_FILE` variable may have.
const LONGEST_SECRET: u64 = 1024 * 1024;

/// Variables of the environment: `DATABASE_HOST=x` sets `database.host`.
///
/// A name is put in lower case and split at each `_`, as Go Micro does. A value that is a whole number is a number,
/// `true` and `false` are truth values, anything else is a text; the first variable at a path wins. Variables that
/// are no UTF-8 are left out.
///
/// With a prefix, `DATABASE_PASSWORD_FILE=/run/secrets/x` sets `database.password` to the text of the file, without
/// the line's end at its end. It is read whenever the source is read, which is once.
pub struct Env {
    selection: Selection,
    secret_files: bool,
    variables: Variables,
}

type Variables = Arc<dyn Fn() -> Vec<(String, String)> + Send + Sync>;

enum Selection {
    All,
    Prefixed(String),
    Stripped(String),
}

impl Env {
    /// All variables. `…_FILE` has no meaning, since others' variables are named so: `SSL_CERT_FILE`.
    pub fn all() -> Self {
        Self::selecting(Selection::All)
    }

    /// Those that begin with a prefix and `_`, which stays part of the path: with `APP`, `APP_PORT` sets `app.port`.
    pub fn prefixed(prefix: impl Into<String>) -> Self {
        Self::selecting(Selection::Prefixed(with_end(prefix.into())))
    }

    /// Those that begin with a prefix and `_`, which is no part of the path: with `APP`, `APP_PORT` sets `port`.
    pub fn stripped(prefix: impl Into<String>) -> Self {
        Self::selecting(Selection::Stripped(with_end(prefix.into())))
    }

    /// Whether `…_FILE` names a file with the value. Default: with a prefix it does, without one it does not.
    #[must_use]
    pub fn secret_files(mut self, secret_files: bool) -> Self {
        self.secret_files = secret_files;
        self
    }

    /// Takes these variables and not those of the process.
    #[must_use]
    pub fn variables<I>(mut self, variables: I) -> Self
    where
        I: IntoIterator<Item: Into<(String, String)>>,
    {
        let variables: Vec<_> = variables.into_iter().map(Into::into).collect();
        self.variables = Arc::new(move || variables.clone());
        self
    }

    fn selecting(selection: Selection) -> Self {
        Self {
            secret_files: !matches!(selection, Selection::All),
            selection,
            variables: Arc::new(of_process),
        }
    }

    /// The part of a variable's name that is a path, where the variable is selected.
    fn selected<'a>(&self, name: &'a str) -> Option<&'a str> {
        match &self.selection {
            Selection::All => Some(name),
            Selection::Prefixed(prefix) => name.starts_with(prefix.as_str()).then_some(name),
            Selection::Stripped(prefix) => name.strip_prefix(prefix.as_str()),
        }
    }
}

fn with_end(prefix: String) -> String {
    if prefix.ends_with('_') {
        prefix
    } else {
        prefix + "_"
    }
}

fn of_process() -> Vec<(String, String)> {
    let variables = std::env::vars_os();
    variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

impl fmt::Display for Env {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.selection {
            Selection::All => formatter.write_str("env"),
            Selection::Prefixed(prefix) | Selection::Stripped(prefix) => write!(formatter, "env {prefix}*"),
        }
    }
}

#[async_trait]
impl Source for Env {
    async fn read(&mut self) -> Result<Vec<Document>> {
        let variables = (self.variables)();
        let mut taken = serde_json::Map::new();
        let mut documents = Vec::new();
        for (variable, value) in &variables {
            let Some(name) = self.selected(variable) else {
                continue;
            };
            let file_of = name.strip_suffix("_FILE").filter(|_| self.secret_files);
            let Some(path) = names::path(file_of.unwrap_or(name), &['_']) else {
                continue;
            };
            let value = match file_of {
                Some(_) => {
                    let plain = variable.strip_suffix("_FILE").unwrap_or(variable);
                    if variables.iter().any(|(other, _)| other == plain) {
                        return Err(Error::new(
                            ErrorKind::Misused,
                            format_args!("both {plain} and {variable} are set: unset one of them"),
                        ));
                    }
                    Value::String(secret_of(variable, value).await?)
                }
                None => names::guess(value),
            };
            if names::insert(&mut taken, &path, Value::Null) {
                documents.push(Document::value(format!("variable {variable}"), value).at(path));
            }
        }
        Ok(documents)
    }
}

async fn secret_of(variable: &str, file: &str) -> Result<String> {
    let (owned_variable, owned_file) = (variable.to_owned(), file.to_owned());
    let reading = spawn_blocking(move || secret(&owned_variable, &owned_file));
    reading.await.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Unavailable,
            format_args!("{file}, which {variable} names: reading it was given up"),
        ))
    })
}

/// The text of a file that a variable names, without a line's end at its end. What is there when a program begins and
/// does not come later is a mistake where it is not there, and nothing to be waited for.
fn secret(variable: &str, file: &str) -> Result<String> {
    let unreadable = |kind: ErrorKind, problem: &dyn fmt::Display| {
        Error::new(
            kind,
            format_args!("{file}, which {variable} names, cannot be read: {problem}"),
        )
    };
    let failed = |problem: io::Error| match problem.kind() {
        io::ErrorKind::NotFound => unreadable(ErrorKind::Misused, &problem),
        _ => unreadable(ErrorKind::Unavailable, &problem),
    };
    // Opening what is no file may wait for somebody who writes to it.
    if !fs::metadata(file).map_err(failed)?.is_file() {
        return Err(unreadable(ErrorKind::Misused, &"it is no file"));
    }
    let opened = fs::File::open(file).map_err(failed)?;
    let mut text = String::new();
    let read = opened.take(LONGEST_SECRET + 1).read_to_string(&mut text);
    let length = read.map_err(failed)?;
    if length as u64 > LONGEST_SECRET {
        let problem = format_args!("it has more than {LONGEST_SECRET} bytes");
        return Err(unreadable(ErrorKind::Misused, &problem));
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}
