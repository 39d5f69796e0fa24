#![doc = include_str!("../README.md")]

mod config;
mod source;
mod bucket;
mod entry;
mod error;

pub use micro_nats_connection::{NatsLogin, NatsServers, NatsTls};

pub use crate::config::NatsSourceConfig;
pub use crate::source::NatsSource;
