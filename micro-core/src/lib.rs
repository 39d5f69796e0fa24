#![doc = include_str!("../README.md")]

pub mod service;
pub mod client;
pub mod handler;
pub mod codec;
pub mod selector;
pub mod registry;
pub mod transport;
pub mod broker;
pub mod backend;
pub mod server;
pub mod debug;
pub mod wire;
pub mod metadata;
pub mod error;
mod comeback;
mod text;

pub use crate::broker::Broker;
pub use crate::client::Client;
pub use crate::comeback::retry_pause;
pub use crate::error::{Error, ErrorKind, Result};
pub use crate::handler::{Body, Context, Handler, Request, Response, Wrapper};
pub use crate::metadata::Metadata;
pub use crate::registry::Registry;
pub use crate::service::{Service, ServiceBuilder};
pub use crate::text::Text;
pub use crate::transport::Transport;
