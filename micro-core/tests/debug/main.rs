//! What a service tells about itself, over a transport in memory and as bytes over HTTP.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "the modules of a test are one crate, which fails by panicking"
)]

mod service;
mod endpoints;
mod log;
mod traces;
mod health;
