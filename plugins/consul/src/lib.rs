#![doc = include_str!("../README.md")]

mod config;
mod registry;
mod watch;
mod catalog;
mod record;
mod tags;
mod check;
mod message;
mod client;
mod tls;
mod path;
mod error;

pub use crate::config::{ConsulConfig, ConsulTls};
pub use crate::registry::ConsulRegistry;
