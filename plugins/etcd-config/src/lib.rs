#![doc = include_str!("../README.md")]

mod config;
mod source;
mod error;

pub use micro_config::KeyFolder;
pub use micro_etcd_connection::{EtcdServers, EtcdTls};

pub use crate::config::EtcdSourceConfig;
pub use crate::source::EtcdSource;
