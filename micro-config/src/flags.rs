//! Flags of a command line.

use std::fmt;

use async_trait::async_trait;

use crate::{Document, Result, Source, names};

/// Flags of a command line: `--database-host=x` and `--database-host x` set `database.host`.
///
/// A name is put in lower case and split at each `-` and `_`, as Go Micro does. A flag that is followed by another
/// flag or by nothing is true. Values are read as those of variables are. Of two flags at a path, the later wins.
/// `--` ends the flags; what belongs to none is left out.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> micro_config::Result<()> {
/// use micro_config::{Config, Flags};
///
/// let flags = Flags::from_args(["--server-port=8080", "--verbose"]);
/// let config = Config::builder().source(flags).build().await?;
/// assert_eq!(config.get::<u16>("server.port")?, 8080);
/// assert!(config.get::<bool>("verbose")?);
/// # Ok(())
/// # }
/// ```
pub struct Flags {
    /// Names and values.
    flags: Vec<(String, String)>,
}

impl Flags {
    /// Takes the flags out of arguments, which begin after the program's name.
    pub fn from_args<I: IntoIterator<Item: Into<String>>>(arguments: I) -> Self {
        let mut flags = Vec::new();
        let mut arguments = arguments.into_iter().map(Into::into).peekable();
        while let Some(argument) = arguments.next() {
            let Some(flag) = argument.strip_prefix("--") else {
                continue;
            };
            if flag.is_empty() {
                break;
            }
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => {
                    let value = arguments.next_if(|next| is_value(next));
                    (flag, value.unwrap_or_else(|| "true".to_owned()))
                }
            };
            flags.push((name.to_owned(), value));
        }
        Self { flags }
    }
}

/// Whether an argument may be the value of the flag before it: negative numbers may.
fn is_value(argument: &str) -> bool {
    !argument.starts_with('-') || argument.parse::<f64>().is_ok()
}

impl fmt::Display for Flags {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("flags")
    }
}

#[async_trait]
impl Source for Flags {
    async fn read(&mut self) -> Result<Vec<Document>> {
        let documents = self.flags.iter().filter_map(|(name, value)| {
            let path = names::path(name, &['-', '_'])?;
            Some(Document::value(format!("flag --{name}"), names::guess(value)).at(path))
        });
        Ok(documents.collect())
    }
}
