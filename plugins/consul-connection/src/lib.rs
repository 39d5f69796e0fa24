#![doc = include_str!("../README.md")]

mod config;
mod client;
mod poll;
mod path;
mod duration;
mod tls;
mod error;

pub use micro_core::backend::Role;

pub use crate::client::{Answer, ConsulClient, may_pass};
pub use crate::config::{ConsulAgents, ConsulTls};
pub use crate::duration::duration_text;
pub use crate::path::{Path, is_askable};
pub use crate::poll::Poll;
