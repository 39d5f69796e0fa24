//! The HTTP transport against bytes: those of Go Micro, those of people, and bad ones.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "the modules of a test are one crate, which fails by panicking"
)]

mod greeter;
mod raw;
mod captured_calls;
mod captured_streams;
mod smallest_requests;
mod people;
mod shapes;
mod limits;
mod arbitrary_bytes;
mod beside_hyper;
mod encryption;
mod mounted;
mod dialects;
mod pooling;
mod draining;
mod edges;
mod values;
mod broker;
#[path = "../registries/mod.rs"]
mod registries;
