//! Rust and Go Micro, each calling the other: over plain addresses, and found by mDNS. Beside them gRPC's own
//! interoperability tests, and a client of gRPC in Go under rolling restarts.
//!
//! Needs Go, with which the peers are built once. Where Go is missing, the tests fail if `CI` or
//! `MICRO_REQUIRE_BACKENDS=1` is set, and else say loudly that they were left out.

#![allow(clippy::unwrap_used, reason = "tests")]

mod go_peer;
mod calling_go;
mod debug;
mod called_by_go;
mod over_mdns;
mod over_servers;
mod over_nats;
mod events;
mod over_rabbitmq;
mod grpc_interop;
mod go_round_robin;
