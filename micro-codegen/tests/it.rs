//! What the generator says and writes.

#![allow(clippy::unwrap_used, reason = "tests")]

mod it {
    pub(crate) mod compiled;
    mod errors;
    mod golden;
    mod plugin;
}
