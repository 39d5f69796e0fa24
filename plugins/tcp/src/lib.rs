#![doc = include_str!("../README.md")]

mod config;
mod transport;
mod client;
mod server;
mod line;
mod hub;
mod flow;
mod send;
mod outbox;
mod read;
mod preamble;
mod frame;
mod head;
mod cursor;
mod watch;

pub use crate::config::{KeepAlive, TcpConfig, TcpLimits};
pub use crate::transport::TcpTransport;
