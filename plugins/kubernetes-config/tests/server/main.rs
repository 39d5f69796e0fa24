//! Against a real API server of Kubernetes, and against one that plays tricks.
#![allow(clippy::unwrap_used, reason = "tests")]

mod cluster;
mod objects;
mod restarts;
mod rights;
mod soon;
mod tricks;
