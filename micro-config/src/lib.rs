#![doc = include_str!("../README.md")]

mod config;
mod builder;
mod source;
mod memory;
mod env;
mod flags;
mod names;
#[cfg(feature = "file")]
mod file;
#[cfg(feature = "http")]
mod http;
mod document;
mod depth;
mod format;
mod folder;
mod feeder;
mod keeper;
mod layer;
mod tree;
mod rules;
mod interpolation;
mod decrypt;
mod view;
mod reading;
mod live;
mod watch;
mod shared;
mod status;
mod secret;
mod error;

pub use async_trait::async_trait;
pub use builder::Builder;
pub use config::Config;
pub use decrypt::Decrypt;
pub use document::{Content, Document};
pub use env::Env;
pub use error::{Error, ErrorKind, Result};
#[cfg(feature = "file")]
pub use file::File;
pub use flags::Flags;
pub use folder::KeyFolder;
pub use format::Format;
#[cfg(feature = "http")]
pub use http::Http;
pub use live::{Live, LiveValue};
pub use memory::Memory;
pub use secret::Secret;
pub use source::Source;
pub use status::{Change, Refused, SourceState, SourceStatus};
pub use view::{Origin, View};
pub use watch::Watch;
