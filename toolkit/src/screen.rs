//! What is printed: where to, in which colours, and how wide.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

/// Standard output, as far as a verb knows it.
pub(crate) struct Screen {
    out: io::Stdout,
    /// How to colour.
    pub(crate) palette: Palette,
    /// Columns of the terminal; `None` where the output goes elsewhere and is not to be cut.
    pub(crate) width: Option<usize>,
}

/// Colours, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Palette {
    is_on: bool,
}

/// What a piece of text is; the palette knows the colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Title,
    Name,
    Quiet,
    Good,
    Doubtful,
    Bad,
}

impl Screen {
    /// The process's standard output.
    pub(crate) fn stdout() -> Self {
        let stdout = io::stdout();
        Self {
            palette: Palette::of(&stdout),
            width: stdout.is_terminal().then(terminal_width).flatten(),
            out: stdout,
        }
    }

    /// Prints a line.
    ///
    /// # Errors
    ///
    /// When nobody reads it any more.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        self.out.write_all(text.as_ref().as_bytes())?;
        self.out.write_all(b"\n")?;
        self.out.flush()
    }

    /// Prints bytes as they are.
    ///
    /// # Errors
    ///
    /// When nobody reads them any more.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.out.flush()
    }

    /// Empties a terminal, to print in place of what is there. Elsewhere it does nothing.
    ///
    /// # Errors
    ///
    /// When nobody reads it any more.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        match self.width {
            Some(_) => self.raw(b"\x1b[H\x1b[J"),
            None => Ok(()),
        }
    }

    /// Whether somebody looks at it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.width.is_some()
    }
}

impl Palette {
    /// Colours for a stream that is a terminal, unless `NO_COLOR` or a dumb terminal forbids them.
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            is_on: stream.is_terminal() && !is_set("NO_COLOR") && !is_dumb,
        }
    }

    /// No colours.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { is_on: false };

    /// A text in its colour.
    pub(crate) fn paint<'a>(self, paint: Paint, text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
        let text = text.into();
        if !self.is_on || text.is_empty() {
            return text;
        }
        let code = match paint {
            Paint::Title => "1",
            Paint::Name => "36",
            Paint::Quiet => "2",
            Paint::Good => "32",
            Paint::Doubtful => "33",
            Paint::Bad => "31",
        };
        Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m"))
    }
}

fn terminal_width() -> Option<usize> {
    let size = terminal_size::terminal_size();
    Some(size.map_or(80, |(width, _)| usize::from(width.0)).max(20))
}

/// Says something beside the output: on standard error, in one line. That nobody reads it is no failure.
pub(crate) fn remark(text: &str) {
    let _ = writeln!(io::stderr(), "{}", harmless(text));
}

/// A text of another machine, made harmless: what would move the cursor or change colours is written out.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if is_harmful(character) {
            clean.extend(character.escape_default());
        } else {
            clean.push(character);
        }
    }
    Cow::Owned(clean)
}

fn is_harmful(character: char) -> bool {
    // Controls, and the marks that turn the direction of writing.
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_move_the_cursor_is_written_out() {
        assert_eq!(harmless("plain ü"), "plain ü");
        assert_eq!(harmless("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(harmless("\u{202e}txt"), "\\u{202e}txt");
    }

    #[test]
    fn only_a_palette_that_is_on_paints() {
        assert_eq!(Palette::PLAIN.paint(Paint::Bad, "x"), "x");
        assert_eq!(Palette { is_on: true }.paint(Paint::Bad, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!(Palette { is_on: true }.paint(Paint::Bad, ""), "");
    }
}
