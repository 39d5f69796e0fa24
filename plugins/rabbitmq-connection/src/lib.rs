#![doc = include_str!("../README.md")]

mod config;
mod connection;
mod link;
mod error;

pub use crate::config::{RabbitmqServer, RabbitmqTls};
pub use crate::connection::Connection;
pub use crate::error::Origin;
pub use crate::link::{Link, Outfit, Up};
