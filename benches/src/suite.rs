//! The suite: runs what was asked for, prints it, and ends all processes whatever happens.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::fleet::Fleet;
use crate::machine;
use crate::options::Options;
use crate::relays::Relays;
use crate::{brokers, calls, idle, registries, streams};

/// Runs the suite until it is done or interrupted.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let mut fleet = Fleet::new(Relays::new(options));
    let result = tokio::select! {
        biased;
        signal = interrupted() => signal.and_then(|name| bail!("stopped by {name}")),
        result = measure(options, &mut fleet) => result,
    };
    clear_progress();
    fleet.stop().await;
    result
}

async fn measure(options: &Options, fleet: &mut Fleet) -> Result<()> {
    println!("{}\n", machine::description()?);
    if options.wants_calls() {
        println!("{}", calls::measure(options, fleet).await?);
    }
    if options.streams {
        println!("{}", streams::measure(options, fleet).await?);
    }
    if options.idle {
        println!("{}", idle::measure(options, fleet).await?);
    }
    if !options.registries.is_empty() {
        println!("{}", registries::measure(options).await?);
    }
    if !options.brokers.is_empty() {
        println!("{}", brokers::measure(options).await?);
    }
    Ok(())
}

async fn interrupted() -> Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt()).context("the interrupt signal cannot be watched")?;
    let mut terminate = signal(SignalKind::terminate()).context("the terminate signal cannot be watched")?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "an interrupt",
        _ = terminate.recv() => "a request to terminate",
    })
}

/// Tells a waiting person what is being measured, in one line that is written over and over.
pub(crate) fn progress(text: &str) {
    let mut output = io::stderr();
    if output.is_terminal() {
        // Nobody misses a line of progress that cannot be written.
        let _ = write!(output, "\r\x1b[K{text}").and_then(|()| output.flush());
    }
}

/// Takes the last line of progress away.
pub(crate) fn clear_progress() {
    progress("");
}

/// Says something that stays.
pub(crate) fn remark(text: &str) {
    clear_progress();
    eprintln!("{text}");
}
