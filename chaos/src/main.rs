#![doc = include_str!("../README.md")]

mod options;
mod runs;
mod trial;
mod site;
mod brokers;
mod backend;
mod lookout;
mod phases;
mod load;
mod publishing;
mod attempts;
mod ledger;
mod fleet;
mod process;
mod node;
mod caller;
mod subscriber;
mod report;
mod table;
mod statistics;
mod progress;
mod style;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use options::{Options, Role};
use progress::Progress;
use report::Report;

/// A promise was broken, or nothing could be measured. Wrong arguments end the program with 2, as `clap` does.
const BROKEN: u8 = 1;

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Options::parse().role {
        Role::Node(options) => node::run(&options).await.map(|()| true),
        Role::Subscriber(options) => subscriber::run(&options).await.map(|()| true),
        Role::Backend(options) => backend::run(&options).await.map(|()| true),
        Role::Caller(options) => caller::run(&options).await.map(|()| true),
        Role::Run(run) => until_signalled(runs::run(&run, &Progress::new()))
            .await
            .map(|report| show(&report)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(BROKEN),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(BROKEN)
        }
    }
}

/// Whether the promises were kept.
fn show(report: &Report) -> bool {
    print!("{}", report.display(style::Style::of_stdout()));
    report.is_kept()
}

/// Ends a run in order when a signal comes: dropping it ends all its processes and removes its files.
async fn until_signalled<T>(run: impl Future<Output = Result<T>>) -> Result<T> {
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    tokio::select! {
        done = run => done,
        _ = interrupt.recv() => bail!("interrupted: nothing was judged"),
        _ = terminate.recv() => bail!("told to stop: nothing was judged"),
    }
}
