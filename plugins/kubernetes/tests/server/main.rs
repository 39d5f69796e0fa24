//! Against a real API server of Kubernetes: bytes, pods, rights, endpoints; and against one that plays tricks.
#![allow(clippy::unwrap_used, reason = "tests")]

mod certificates;
mod cluster;
mod endpoints;
mod pods;
mod restarts;
mod rights;
mod told;
mod tricks;
mod watches;
mod wire;
