#![doc = include_str!("../README.md")]

mod config;
mod source;
mod error;

pub use micro_config::KeyFolder;
pub use micro_consul_connection::{ConsulAgents, ConsulTls};

pub use crate::config::ConsulSourceConfig;
pub use crate::source::ConsulSource;
