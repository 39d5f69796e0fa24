#![doc = include_str!("../README.md")]

mod config;
mod acknowledgements;
mod broker;
mod stream;
mod member;
mod upkeep;
mod channel;
mod entry;
mod link;
mod dial;
mod tasks;
mod error;

pub use crate::broker::RedisBroker;
pub use crate::config::{Layout, RedisConfig, RedisTls};
