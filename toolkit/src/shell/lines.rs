//! Where the shell's lines come from: somebody who types, or a pipe.

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;

use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor};
use tokio::task::spawn_blocking;

use super::complete::Completion;
use crate::failure::{Code, Failure, Outcome};
use crate::network::Network;

const PROMPT: &str = "micro> ";
/// Lines of history that are kept.
const REMEMBERED: usize = 1000;

/// Where the shell's lines come from.
pub(super) enum Lines {
    Typed {
        /// Lent to the thread that waits for a key.
        editor: Option<Box<Typed>>,
        history: Option<PathBuf>,
    },
    Piped,
}

type Typed = Editor<Completion, DefaultHistory>;

impl Lines {
    /// A line editor on a terminal; elsewhere the lines as they come.
    pub(super) fn open(network: &Arc<Network>) -> Outcome<Self> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Ok(Self::Piped);
        }
        let config = Config::builder()
            .max_history_size(REMEMBERED)
            .map(|config| {
                config
                    .completion_type(CompletionType::List)
                    .auto_add_history(true)
            })
            .map_err(|error| unusable(&error))?;
        let mut editor = Typed::with_config(config.build()).map_err(|error| unusable(&error))?;
        editor.set_helper(Some(Completion::new(network.clone())));
        let history = history_file();
        if let Some(path) = &history {
            // There is none the first time.
            let _ = editor.load_history(path);
        }
        Ok(Self::Typed {
            editor: Some(Box::new(editor)),
            history,
        })
    }

    /// Whether somebody types.
    pub(super) fn is_edited(&self) -> bool {
        matches!(self, Self::Typed { .. })
    }

    /// The next line; `None` at the end.
    pub(super) async fn next(&mut self) -> Outcome<Option<String>> {
        match self {
            Self::Typed { editor, history } => typed(editor, history.clone()).await,
            Self::Piped => {
                let read = spawn_blocking(|| io::stdin().lock().lines().next().transpose()).await;
                let read = read.map_err(io::Error::other).and_then(|read| read);
                read.map_err(|error| Failure::usage(format!("standard input cannot be read: {error}")))
            }
        }
    }
}

async fn typed(lent: &mut Option<Box<Typed>>, history: Option<PathBuf>) -> Outcome<Option<String>> {
    while let Some(mut editor) = lent.take() {
        let path = history.clone();
        let reading = spawn_blocking(move || {
            let line = editor.readline(PROMPT);
            if let (Ok(_), Some(path)) = (&line, &path) {
                remember(&mut editor, path);
            }
            (editor, line)
        });
        let (editor, line) = reading.await.map_err(|error| unusable(&error))?;
        *lent = Some(editor);
        match line {
            Ok(line) => return Ok(Some(line)),
            Err(ReadlineError::Eof) => return Ok(None),
            // Ctrl-C empties the line, as in other shells.
            Err(ReadlineError::Interrupted) => {}
            Err(error) => return Err(unusable(&error)),
        }
    }
    Ok(None)
}

fn remember(editor: &mut Typed, path: &PathBuf) {
    if let Some(folder) = path.parent() {
        let _ = std::fs::create_dir_all(folder);
    }
    // A history that cannot be kept is no reason to stop.
    let _ = editor.append_history(path);
}

fn unusable(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::Failed, format!("the terminal cannot be read: {error}"))
}

/// `$XDG_STATE_HOME/micro/history`, by default in `~/.local/state`.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(std::env::home_dir()?.join(".local/state")))?;
    Some(state.join("micro/history"))
}
