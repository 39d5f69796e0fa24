//! Colours, where they help.

use std::io::{IsTerminal, stdout};

/// Whether to colour. Only on a terminal, and not where `NO_COLOR` is set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    coloured: bool,
}

impl Style {
    /// That of the standard output.
    pub(crate) fn of_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            coloured: !refused && stdout().is_terminal(),
        }
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("\x1b[1;32m", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.wrap("\x1b[1;31m", text)
    }

    pub(crate) fn pale(self, text: &str) -> String {
        self.wrap("\x1b[2m", text)
    }

    fn wrap(self, begin: &str, text: &str) -> String {
        if self.coloured {
            format!("{begin}{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
