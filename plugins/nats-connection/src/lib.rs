#![doc = include_str!("../README.md")]

mod config;
mod connection;
mod settle;
mod subject;
mod error;

pub use async_nats;
pub use micro_core::backend::Role;

pub use crate::config::{NatsLogin, NatsServers, NatsTls};
pub use crate::connection::{Health, NatsConnection};
pub use crate::subject::check_subject;
