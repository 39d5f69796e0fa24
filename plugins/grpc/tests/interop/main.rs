//! The transport beside tonic: its callers are served, and its services are called.
#![allow(clippy::unwrap_used, reason = "tests")]

mod callers_of_tonic;
mod message;
mod service_of_tonic;
mod services_called;
mod foreign;
mod slow_readers;
mod channel_of_tonic;
mod callers_served;
