#![doc = include_str!("../README.md")]

mod config;
mod transport;
mod caller;
mod peer;
mod peer_stream;
mod listener;
mod serve;
mod serve_stream;
mod sender;
mod window;
mod head;
mod error;

pub use micro_rabbitmq_connection::{RabbitmqServer, RabbitmqTls};

pub use crate::config::RabbitmqTransportConfig;
pub use crate::transport::RabbitmqTransport;
