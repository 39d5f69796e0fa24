//! What is on the wire: lost and repeated datagrams, bad input, farewells.
#![allow(
    clippy::unwrap_used,
    reason = "clippy does not know that functions beside tests are tests, too"
)]

mod draining;
mod hostile;
mod lossy;
mod raw;
mod unlucky;
