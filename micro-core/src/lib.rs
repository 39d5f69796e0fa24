#![doc = include_str!("../README.md")]

pub mod selector;
pub mod registry;
pub mod metadata;
pub mod error;
mod text;

pub use crate::error::{Error, ErrorKind, Result};
pub use crate::metadata::Metadata;
pub use crate::text::Text;
