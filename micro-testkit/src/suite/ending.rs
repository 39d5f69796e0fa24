//! How a case ends when it does not end well.

use std::fmt::{self, Display};
use std::panic::Location;

use micro_core::Error;

/// What a case returns.
pub type Outcome = Result<(), Ending>;

/// Why a case stopped before its end.
#[derive(Debug, Clone)]
pub enum Ending {
    /// The implementation does not keep the contract.
    Failed(Failure),
    /// The case asks for what the implementation has said it cannot do; the text says what.
    Skipped(&'static str),
}

/// What was not as it must be, and the line of the case that found it.
#[derive(Debug, Clone)]
pub struct Failure {
    message: String,
    place: &'static Location<'static>,
}

impl Failure {
    /// A failure at the caller's line.
    #[track_caller]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            place: Location::caller(),
        }
    }

    /// The same failure, with more words.
    pub(crate) fn but(mut self, more: &str) -> Self {
        self.message = format!("{}; {more}", self.message);
        self
    }
}

impl Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (at {})", self.message, self.place)
    }
}

impl From<Failure> for Ending {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Error> for Ending {
    #[track_caller]
    fn from(error: Error) -> Self {
        Self::Failed(Failure::new(format!("unexpected error: {error}")))
    }
}

impl Ending {
    /// A failure at the caller's line.
    #[track_caller]
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::Failed(Failure::new(message))
    }
}
