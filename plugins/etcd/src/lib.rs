#![doc = include_str!("../README.md")]

mod config;
mod registry;
mod lease;
mod watch;
mod seen;
mod record;
mod client;
mod proto;
mod error;

pub use crate::config::{EtcdConfig, EtcdTls};
pub use crate::registry::EtcdRegistry;
