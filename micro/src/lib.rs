#![doc = include_str!("../README.md")]

pub mod prelude;
mod from_args;
#[cfg(feature = "config")]
mod configured;
pub mod arguments;
pub mod plugins;
pub mod log;
pub mod protobuf;
#[doc(hidden)]
pub mod codegen;

/// Configuration from many sources as one live view: the crate `micro-config`.
#[cfg(feature = "config")]
pub use micro_config as config;
pub use micro_core::*;

pub use crate::arguments::{Argument, Arguments, Settings};
#[cfg(feature = "config")]
pub use crate::configured::Configured;
pub use crate::from_args::FromArgs;
#[cfg(feature = "config")]
pub use crate::plugins::SourceArguments;
pub use crate::plugins::{PluginArguments, Plugins};

/// Includes the code that `micro-codegen` generated for a package in the build script, where it stands.
///
/// The argument is the package of the `.proto`, such as `"shop.cart"`, or `"_"` for files without one. Where
/// packages refer to each other, `Builder::include_file` writes a file with all of them: `include_proto!("protos")`
/// includes that of the name `protos.rs`.
///
/// ```ignore
/// mod hello {
///     micro::include_proto!("hello");
/// }
/// ```
#[macro_export]
macro_rules! include_proto {
    ($package:literal) => {
        include!(concat!(env!("OUT_DIR"), "/", $package, ".rs"));
    };
}

/// What `docs/config.md` shows is compiled.
#[cfg(all(doctest, feature = "config"))]
#[doc = include_str!("../../docs/config.md")]
mod docs {}
