//! Code that was generated from the test protos, as a program has it that forbids itself much.
#![deny(warnings, missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

micro::include_proto!("protos");
