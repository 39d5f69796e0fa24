//! The thread that the sources of configuration are followed on.
//!
//! Settings are read without a runtime, and before there need be one; so this brings its own. It ends when the last handle
//! of the configuration is dropped.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use micro_config::Config;
use serde_json::Value;
use tokio::runtime;

use super::super::section::NAME;
use super::super::values::Given;

type Started = Result<Config, String>;

/// Reads the sources, and follows them from then on. Blocks until all have answered, or the longest wait for them is over.
///
/// # Errors
///
/// When a source cannot be made or read, or says what makes no sense.
pub(super) fn start(given: Arc<Given>, names: Vec<String>) -> Started {
    let (sender, started) = sync_channel(1);
    let follow = move || match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(follow(&given, &names, sender)),
        Err(problem) => {
            // Whoever started it waits for the answer.
            let _ = sender.send(Err(format!("the configuration cannot be followed: {problem}")));
        }
    };
    let thread = thread::Builder::new().name("micro-config".to_owned());
    thread
        .spawn(follow)
        .map_err(|problem| format!("the configuration cannot be followed: {problem}"))?;
    let started = started.recv();
    started.unwrap_or_else(|_| Err("the sources of configuration could not be read".to_owned()))
}

async fn follow(given: &Arc<Given>, names: &[String], sender: SyncSender<Started>) {
    let config = match build(given, names).await {
        Ok(config) => config,
        Err(problem) => {
            let _ = sender.send(Err(problem));
            return;
        }
    };
    // It ends with the configuration, and does not keep it.
    let mut changes = config.watch::<Value>(NAME);
    let _ = sender.send(Ok(config));
    while changes.next().await.is_some() {}
}

async fn build(given: &Arc<Given>, names: &[String]) -> Started {
    let arguments = &given.arguments;
    let own = arguments.shape_config.as_ref();
    let builder = super::builder(&arguments.plugins, &given.readable, own, names).await;
    let builder = builder.map_err(|problem| problem.to_string())?;
    let validating = given.clone();
    let builder = builder.validate(move |view| super::of_view(&validating, view).map(drop));
    builder.build().await.map_err(|problem| problem.to_string())
}
