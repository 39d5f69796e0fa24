#![doc = include_str!("../README.md")]

pub mod broker;
pub mod codec;
pub mod config;
pub mod proxy;
pub mod registry;
pub mod selector;
pub mod transport;
pub mod suite;

pub use crate::suite::{Ending, Failure, Outcome, Report};
