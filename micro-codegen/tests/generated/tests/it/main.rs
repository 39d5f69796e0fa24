//! What generated code does.

mod calls;
mod json;
mod messages;
mod records;
