//! What the transport does on the wire: captured bytes, bad input, farewells, dead peers; and the other dialects of
//! its port.
#![allow(clippy::unwrap_used, reason = "tests")]

mod raw;
mod captured;
mod hostile;
mod draining;
mod silent;
mod certificates;
mod connections;
mod http1;
mod grpc_web;
mod connect;
mod browsers;
mod dialects;
mod builtin;
mod get;
mod hosted;
mod pages;
mod late;
