//! Against NATS processes of the tests' own: bytes, restarts, logins, certificates and limits.
#![allow(clippy::unwrap_used, reason = "tests")]

mod limits;
mod nats;
mod restarts;
mod secured;
mod wire;
