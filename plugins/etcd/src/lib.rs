#![doc = include_str!("../README.md")]

mod config;
mod registry;
mod lease;
mod watch;
mod seen;
mod record;
mod error;

pub use micro_etcd_connection::EtcdTls;

pub use crate::config::EtcdConfig;
pub use crate::registry::EtcdRegistry;
