#![doc = include_str!("../README.md")]

mod config;
mod broker;
mod publisher;
mod topics;
mod source;
mod member;
mod events;
mod progress;
mod record;
mod context;
mod error;

pub use crate::broker::KafkaBroker;
pub use crate::config::{
    Assignment, Compression, Format, KafkaConfig, KafkaSasl, KafkaTls, NewTopics, SaslMechanism,
};
