#![doc = include_str!("../README.md")]

mod config;
mod registry;
mod keeper;
mod held;
mod store;
mod watch;
mod listing;
mod record;
mod client;
mod session;
mod dial;
mod connection;
mod intake;
mod inbox;
mod requests;
mod jute;
mod error;

pub use crate::config::{ZookeeperAccess, ZookeeperConfig, ZookeeperTls};
pub use crate::registry::ZookeeperRegistry;
