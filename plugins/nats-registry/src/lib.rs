#![doc = include_str!("../README.md")]

mod config;
mod registry;
mod own;
mod query;
mod watch;
mod message;
mod error;

pub use micro_nats_connection::{NatsLogin, NatsServers, NatsTls};

pub use crate::config::NatsRegistryConfig;
pub use crate::registry::NatsRegistry;
