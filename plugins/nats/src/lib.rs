#![doc = include_str!("../README.md")]

mod config;
mod confirm;
mod broker;
mod plain;
mod stream;
mod pull;
mod receipt;
mod error;

pub use micro_nats_connection::{NatsLogin, NatsServers, NatsTls};

pub use crate::broker::NatsBroker;
pub use crate::config::{JetStream, NatsConfig, Storage};
