#![doc = include_str!("../README.md")]

mod config;
mod transport;
mod caller;
mod server;
mod flow;
mod frame;
mod mark;
mod error;

pub use micro_nats_connection::{NatsLogin, NatsServers, NatsTls};

pub use crate::config::NatsTransportConfig;
pub use crate::transport::NatsTransport;
