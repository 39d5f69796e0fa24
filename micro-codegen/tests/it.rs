//! What the generator says and writes.

mod it {
    pub(crate) mod compiled;
    mod errors;
    mod golden;
    mod plugin;
}
