//! Why a verb failed: what it says, what to try, and the code that a script sees.

use std::io::{self, Write};

use micro::{Error, ErrorKind};

use crate::screen::{Paint, Palette, harmless};

/// What every verb gives.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// The codes that `micro` ends with; the help lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// The call failed: the far side answered an error, or something was found wrong.
    Failed = 1,
    /// The command line, or a request that is no JSON.
    Usage = 2,
    /// No such service, endpoint or node.
    NotFound = 3,
    /// Nobody answered: refused, cut off, or too late.
    Unreachable = 4,
}

/// Why a verb failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// To be printed.
    Told {
        /// What scripts see.
        code: Code,
        /// What happened.
        what: String,
        /// Names and values below it, such as the error's id.
        facts: Vec<(&'static str, String)>,
        /// What to try, a line each.
        tries: Vec<String>,
    },
    /// All was said in the output.
    Shown(Code),
    /// Nobody reads the output any more, which is how `| head` ends.
    Unread,
    /// What the parser of arguments says: a mistake, or help that was asked for.
    Arguments(clap::Error),
    /// A flag or variable of the framework has a value that makes no sense.
    Settings(micro::arguments::Exit),
}

impl Failure {
    pub(crate) fn new(code: Code, what: impl Into<String>) -> Self {
        Self::Told {
            code,
            what: what.into(),
            facts: Vec::new(),
            tries: Vec::new(),
        }
    }

    /// A mistake of the command line.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Code::Usage, what)
    }

    /// Something that does not exist.
    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::new(Code::NotFound, what)
    }

    /// An error of the framework, or of the service that was called.
    pub(crate) fn of(error: &Error) -> Self {
        let mut facts = Vec::new();
        if error.code() != 0 {
            facts.push(("code", format!("{} {}", error.code(), error.status())));
        }
        if !error.id().is_empty() {
            facts.push(("id", error.id().to_owned()));
        }
        let what = match error.detail() {
            "" => error.status(),
            detail => detail,
        };
        Self::Told {
            code: code(error),
            what: what.to_owned(),
            facts,
            tries: Vec::new(),
        }
    }

    /// An error at connecting, before anything was asked.
    pub(crate) fn connecting(error: &Error) -> Self {
        let mut failure = Self::of(error);
        if let Self::Told { code, .. } = &mut failure {
            *code = match error.kind() {
                ErrorKind::BadRequest => Code::Usage,
                _ => Code::Unreachable,
            };
        }
        failure
    }

    /// One more thing to try.
    #[must_use]
    pub(crate) fn try_this(mut self, advice: impl Into<String>) -> Self {
        if let Self::Told { tries, .. } = &mut self {
            tries.push(advice.into());
        }
        self
    }

    /// What happened, in one line.
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::Told { what, .. } => what.clone(),
            Self::Arguments(error) => error.to_string(),
            Self::Settings(exit) => exit.to_string(),
            Self::Shown(_) | Self::Unread => String::new(),
        }
    }

    /// The same, without anything left to say.
    pub(crate) fn printed(&self) -> Self {
        match self.code() {
            2 => Self::Shown(Code::Usage),
            3 => Self::Shown(Code::NotFound),
            4 => Self::Shown(Code::Unreachable),
            _ => Self::Shown(Code::Failed),
        }
    }

    /// What the process ends with.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Told { code, .. } | Self::Shown(code) => *code as u8,
            Self::Unread => 0,
            Self::Settings(_) => Code::Usage as u8,
            Self::Arguments(error) => u8::try_from(error.exit_code()).unwrap_or(Code::Usage as u8),
        }
    }

    /// Says it on standard error; help that was asked for goes to standard output.
    pub(crate) fn print(&self) {
        let stderr = io::stderr();
        match self {
            Self::Told { .. } => {
                // Nothing is left to do where even this cannot be told.
                let _ = stderr
                    .lock()
                    .write_all(self.text(Palette::of(&stderr)).as_bytes());
            }
            Self::Arguments(error) => {
                let _ = error.print();
            }
            Self::Settings(exit) => {
                let _ = write!(stderr.lock(), "{exit}");
            }
            Self::Shown(_) | Self::Unread => {}
        }
    }

    fn text(&self, palette: Palette) -> String {
        let Self::Told {
            what, facts, tries, ..
        } = self
        else {
            return String::new();
        };
        let what: Vec<_> = what.lines().map(harmless).collect();
        let mut text = format!(
            "{} {}\n",
            palette.paint(Paint::Bad, "error:"),
            what.join("\n       ")
        );
        for (name, value) in facts {
            text += &format!("{}  {}\n", label(palette, name), harmless(value));
        }
        for (number, advice) in tries.iter().enumerate() {
            let name = if number == 0 { "try" } else { "" };
            text += &format!("{}  {}\n", label(palette, name), harmless(advice));
        }
        text
    }
}

fn label(palette: Palette, name: &str) -> String {
    format!("  {}", palette.paint(Paint::Quiet, format!("{name:>4}")))
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::new(Code::Failed, format!("cannot write the output: {error}")),
        }
    }
}

impl From<micro::arguments::Exit> for Failure {
    fn from(exit: micro::arguments::Exit) -> Self {
        Self::Settings(exit)
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Self::Arguments(error)
    }
}

/// Whether the far side says that it has no such endpoint. Go Micro says so in plain text, without a code.
pub(crate) fn is_unknown_endpoint(error: &Error) -> bool {
    let detail = error.detail();
    matches!(error.code(), 0 | 400 | 404 | 500)
        && ["rpc: can't find ", "rpc: service/endpoint request ill-formed"]
            .iter()
            .any(|beginning| detail.starts_with(beginning))
}

/// Whether an error says that a service, or an endpoint of it, does not exist; and not that a handler did not find
/// something.
pub(crate) fn is_unknown(error: &Error) -> bool {
    let is_ours = matches!(error.id(), "go.micro.registry" | "go.micro.client");
    is_unknown_endpoint(error) || (is_ours && error.kind() == ErrorKind::NotFound)
}

fn code(error: &Error) -> Code {
    match error.kind() {
        _ if is_unknown(error) => Code::NotFound,
        ErrorKind::Timeout | ErrorKind::Unavailable => Code::Unreachable,
        _ if error.code() == 504 || error.is_unanswered() => Code::Unreachable,
        _ => Code::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_can_tell_why_a_call_failed() {
        let code_of = |error: Error| Failure::of(&error).code();
        assert_eq!(code_of(Error::conflict("shop", "taken")), 1);
        assert_eq!(code_of(Error::not_found("shop", "no such order")), 1);
        assert_eq!(code_of(micro::registry::service_not_found("shop")), 3);
        assert_eq!(
            code_of(Error::not_found(
                "go.micro.server",
                "rpc: can't find method X; Y has Z"
            )),
            3
        );
        assert_eq!(code_of(Error::from_wire("rpc: can't find service Debug")), 3);
        assert_eq!(code_of(Error::client(408, "late")), 4);
        assert_eq!(code_of(Error::client(503, "nobody")), 4);
        assert_eq!(Failure::usage("x").code(), 2);
    }

    #[test]
    fn a_failure_says_what_and_what_to_try() {
        let failure = Failure::of(&Error::conflict("shop", "taken\nby\u{1b}[2J Ann"))
            .try_this("one")
            .try_this("two");
        assert_eq!(
            failure.text(Palette::PLAIN),
            "error: taken\n       by\\u{1b}[2J Ann\n  code  409 Conflict\n    id  shop\n   try  one\n        two\n"
        );
    }
}
