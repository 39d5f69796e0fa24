#![doc = include_str!("../README.md")]

mod config;
mod transport;
mod client;
mod server;
mod datagram;

pub use crate::config::{UdpConfig, UdpLimits};
pub use crate::transport::UdpTransport;
