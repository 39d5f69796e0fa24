//! One file for each verb.

pub(crate) mod call;
pub(crate) mod cli;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod deregister;
pub(crate) mod describe;
pub(crate) mod doctor;
pub(crate) mod get;
pub(crate) mod health;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod publish;
pub(crate) mod register;
pub(crate) mod stats;
pub(crate) mod stream;
pub(crate) mod subscribe;
pub(crate) mod trace;

mod message;
mod output;
