//! What generated code does.

#![allow(clippy::unwrap_used, reason = "tests")]

mod calls;
mod clients;
mod json;
mod messages;
mod records;
