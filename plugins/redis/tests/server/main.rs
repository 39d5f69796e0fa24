//! Against Redis processes of the tests' own: restarts, cut connections, passwords and certificates.
#![allow(clippy::unwrap_used, reason = "tests")]
