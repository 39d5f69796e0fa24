#![doc = include_str!("../README.md")]

mod config;
mod registry;
mod watch;
mod lookup;
mod responder;
mod own;
mod heard;
mod shared;
mod record;
mod sighting;
mod text;
mod packet;
mod socket;
mod error;

pub use crate::config::{Interfaces, MdnsConfig};
pub use crate::registry::MdnsRegistry;
