//! What the transport does on the wire: captured bytes, bad input, farewells, dead peers.
#![allow(clippy::unwrap_used, reason = "tests")]

mod raw;
mod captured;
mod hostile;
mod draining;
mod silent;
mod certificates;
mod connections;
