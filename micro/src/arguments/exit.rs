//! Why a program ends before it has begun: help was asked for, or an argument is wrong.

use std::fmt;

use clap::error::ErrorKind;

use crate::plugins::wrong;

/// Why a program ends before it has begun: help was asked for, or an argument is wrong.
pub struct Exit(pub(super) clap::Error);

impl Exit {
    pub(super) fn wrong(command: &mut clap::Command, problem: String) -> Self {
        Self(command.error(ErrorKind::ValueValidation, problem))
    }

    /// What the process should end with: 0 after help or version, 2 when an argument is wrong.
    pub fn code(&self) -> i32 {
        self.0.exit_code()
    }

    /// Prints the text, with colours on a terminal: help to standard output, the rest to standard error. Then ends
    /// the process with the [code](Self::code).
    pub fn exit(self) -> ! {
        self.0.exit()
    }
}

/// The text without colours.
impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.render().fmt(formatter)
    }
}

impl fmt::Debug for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Exit {}: {self}", self.code())
    }
}

impl std::error::Error for Exit {}

impl From<Exit> for crate::Error {
    fn from(exit: Exit) -> Self {
        wrong(exit.to_string())
    }
}
