//! Against nsqd processes of the tests' own: restarts, cut connections, directories, secrets and certificates.
#![allow(clippy::unwrap_used, reason = "tests")]
