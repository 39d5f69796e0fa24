//! The public interoperability tests of gRPC: the transport beside the client and the server that gRPC's authors
//! publish for them, in Go.

mod certificates;
mod go;
mod service;
mod calls;
mod cases;
mod suite;

pub use self::calls::Caller;
pub use self::cases::CASES as RUST_CASES;
pub use self::certificates::Certificates;
pub use self::go::{CASES as GO_CASES, GoPrograms, GoServer};
pub use self::service::serve;
pub use self::suite::{Direction, Outcome, run};

/// What the tests' `.proto` files define.
pub mod testing {
    micro::include_proto!("grpc.testing");
}

/// The name of the tests' package, by which callers find the service.
const PACKAGE: &str = "grpc.testing";
/// Metadata that the service sends back before its messages.
const INITIAL: &str = "x-grpc-test-echo-initial";
/// Metadata that the service sends back after its messages.
const TRAILING: &str = "x-grpc-test-echo-trailing-bin";
