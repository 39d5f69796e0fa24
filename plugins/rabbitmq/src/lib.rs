#![doc = include_str!("../README.md")]

mod config;
mod broker;
mod publish;
mod subscribe;
mod queues;
mod message;
mod pattern;

pub use micro_rabbitmq_connection::{RabbitmqServer, RabbitmqTls};

pub use crate::broker::RabbitmqBroker;
pub use crate::config::{Durable, QueueNames, Queues, RabbitmqConfig};
