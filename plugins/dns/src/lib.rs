#![doc = include_str!("../README.md")]

mod config;
mod registry;
mod watch;
mod lookup;
mod targets;
mod name;
mod error;

pub use crate::config::{DnsConfig, Registrations};
pub use crate::registry::DnsRegistry;
