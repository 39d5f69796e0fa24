//! Members of clusters on loopback: how they meet, part and die.
#![allow(clippy::unwrap_used, reason = "tests")]

mod cluster;

mod failures;
mod meetings;
mod processes;
mod security;
mod traffic;
