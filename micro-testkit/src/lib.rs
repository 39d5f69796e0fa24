#![doc = include_str!("../README.md")]

pub mod registry;
pub mod transport;
pub mod suite;

pub use crate::suite::{Ending, Failure, Outcome, Report};
