#![doc = include_str!("../README.md")]

mod document;
mod error;
mod format;
mod source;

pub use document::{Content, Document};
pub use error::{Error, ErrorKind, Result};
pub use format::Format;
pub use source::Source;
