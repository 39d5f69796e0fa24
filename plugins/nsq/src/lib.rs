#![doc = include_str!("../README.md")]

mod config;
mod broker;
mod producer;
mod consumer;
mod line;
mod lookup;
mod dial;
mod frame;
mod name;
mod error;

pub use crate::broker::NsqBroker;
pub use crate::config::{NsqConfig, NsqTls};
