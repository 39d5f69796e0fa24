#![doc = include_str!("../README.md")]

mod builder;
mod comments;
mod error;
mod generate;
mod http;
mod json;
mod messages;
mod names;
mod services;
mod sources;

/// The protoc plugin, for its binary and its tests.
pub mod plugin;

use std::path::Path;

pub use crate::builder::Builder;
pub use crate::error::{Error, Result};

/// Generates the code of these files and of the files that they import, with the default options.
///
/// For build scripts. See [`Builder::compile_protos`].
///
/// # Errors
///
/// When a file cannot be found, read or understood, or the output cannot be written; the message says where.
pub fn compile_protos(protos: &[impl AsRef<Path>], includes: &[impl AsRef<Path>]) -> Result<()> {
    Builder::new().compile_protos(protos, includes)
}
