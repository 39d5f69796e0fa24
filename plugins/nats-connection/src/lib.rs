#![doc = include_str!("../README.md")]

mod config;
mod connection;
mod settle;
mod subject;
mod tls;
mod error;

pub use async_nats;

pub use crate::config::{NatsLogin, NatsServers, NatsTls};
pub use crate::connection::{Health, NatsConnection};
pub use crate::error::Role;
pub use crate::subject::check_subject;
