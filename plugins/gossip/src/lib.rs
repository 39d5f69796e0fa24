#![doc = include_str!("../README.md")]

mod config;
mod registry;
mod watch;
mod keeper;
mod shared;
mod view;
mod record;
mod member;
mod socket;
mod seal;
mod error;

pub use crate::config::{GossipConfig, GossipKey};
pub use crate::registry::GossipRegistry;
