//! What went wrong, in words for the person who runs the build.

use std::fmt;

/// Why no code was generated: which file, which line where it is known, and what to do.
///
/// `Debug` says the same as `Display`, because that is what a build script whose `main` returns this prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(String);

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
