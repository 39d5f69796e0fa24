#![doc = include_str!("../README.md")]

mod options;
mod suite;
mod calls;
mod streams;
mod idle;
mod registries;
mod brokers;
mod fleet;
mod process;
mod usage;
mod syscalls;
mod command;
mod server;
mod load;
mod peers;
mod relays;
mod statistics;
mod table;
mod machine;

use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result};
use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use options::{Options, Role};

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    match &options.role {
        Some(Role::Serve { peer, relay }) => server::run(&measured_runtime()?, *peer, *relay),
        Some(Role::Load { peer, address, relay }) => load::run(&measured_runtime()?, *peer, address, *relay),
        Some(Role::Register { flags }) => measured_runtime()?.block_on(registries::register(flags)),
        Some(Role::Watch { flags }) => measured_runtime()?.block_on(registries::watch(flags)),
        Some(Role::Events {
            broker,
            side,
            address,
        }) => measured_runtime()?.block_on(brokers::run(*broker, *side, *address)),
        None => suite_runtime()?.block_on(suite::run(options)),
    }
}

/// The runtime of every measured process: the same for all peers, servers and clients.
fn measured_runtime() -> Result<Runtime> {
    let cores = thread::available_parallelism()
        .context("the number of cores is unknown")?
        .get();
    Builder::new_multi_thread()
        .worker_threads(cores)
        .enable_all()
        .build()
        .context("no runtime for the measured process")
}

/// The suite itself only waits, on one thread, so that it does not disturb what it measures.
fn suite_runtime() -> Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime for the suite")
}
