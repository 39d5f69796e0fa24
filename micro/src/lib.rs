#![doc = include_str!("../README.md")]

pub use micro_core::*;

/// What generated code refers to. Not for use by hand.
#[doc(hidden)]
pub mod codegen {
    pub use pbjson;
    pub use prost;
    pub use serde;
}
