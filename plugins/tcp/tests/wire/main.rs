//! What is on the wire: the bytes of frames, bad input, farewells and silent peers.
#![allow(
    clippy::unwrap_used,
    reason = "clippy does not know that functions beside tests are tests, too"
)]

mod calls;
mod draining;
mod frames;
mod hostile;
mod raw;
mod silent;
mod strangers;
