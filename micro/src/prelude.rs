//! What most programs use: `use micro::prelude::*;`.

pub use micro_core::handler::endpoint_fn;
pub use micro_core::server::{subscriber, subscriber_plain};
pub use micro_core::{Client, Context, Error, Result, Service};

#[cfg(feature = "config")]
pub use crate::Configured;
pub use crate::{Argument, Arguments, FromArgs, Plugins};
