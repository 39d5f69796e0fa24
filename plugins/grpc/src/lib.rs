#![doc = include_str!("../README.md")]

mod config;
mod content_type;
mod transport;
mod dialect;
mod security;
mod client;
mod foreign;
mod server;
mod receive;
mod send;
mod framing;
mod metadata;
mod path;
mod status;
mod timeout;
mod trailers;
mod heartbeat;

pub use crate::config::{
    AuthorityFiles, Compression, GrpcConfig, GrpcLimits, IdentityFiles, KeepAlive, Origins,
};
pub use crate::dialect::GrpcDialect;
pub use crate::foreign::ForeignServices;
pub use crate::trailers::Trailers;
pub use crate::transport::GrpcTransport;
