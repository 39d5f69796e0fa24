#![doc = include_str!("../README.md")]

mod config;
mod registry;
mod watch;
mod catalog;
mod record;
mod tags;
mod check;
mod message;
mod error;

pub use micro_consul_connection::ConsulTls;

pub use crate::config::ConsulConfig;
pub use crate::registry::ConsulRegistry;
