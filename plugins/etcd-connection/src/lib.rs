#![doc = include_str!("../README.md")]

mod config;
mod client;
mod keys;
pub mod proto;
mod error;

pub use micro_core::backend::Role;

pub use crate::client::{EtcdClient, WatchStream};
pub use crate::config::{EtcdServers, EtcdTls};
pub use crate::keys::KeyRange;
