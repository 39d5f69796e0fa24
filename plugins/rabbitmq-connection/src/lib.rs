#![doc = include_str!("../README.md")]

mod config;
mod connection;
mod link;
mod publish;
mod value;
mod error;

pub use micro_core::backend::Role;

pub use crate::config::{RabbitmqServer, RabbitmqTls};
pub use crate::connection::Connection;
pub use crate::error::RABBITMQ;
pub use crate::link::{Link, Outfit, Up};
pub use crate::publish::PublishChannel;
pub use crate::value::{header_size, text_of};
