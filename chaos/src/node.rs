//! The node process: a whole service on the default stack, which notes each call that it runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use micro::handler::endpoint_fn;
use micro::prelude::*;

use crate::ledger::Ledger;
use crate::options::{NodeOptions, Sabotage};
use crate::process::{end_with_parent, say_ready};

/// What is called of a node: it takes the number of the call and gives it back.
pub(crate) const ENDPOINT: &str = "Ledger.Enter";

/// Serves until a signal comes or the parent is gone.
pub(crate) async fn run(options: &NodeOptions) -> Result<()> {
    end_with_parent();
    let ledger = Arc::new(Ledger::create(&options.ledger)?);
    let (work, sabotage) = (Duration::from_millis(options.work), options.sabotage);
    let enter = endpoint_fn(ENDPOINT, move |_: Context, call: u64| {
        let ledger = ledger.clone();
        async move {
            // Before anything else, so that a call which ran at all is in the ledger, whatever happens next.
            ledger.enter(call)?;
            match sabotage.filter(|_| call % 100 == 99) {
                Some(Sabotage::Errors) => return Err(Error::internal("chaos", "sabotage")),
                Some(Sabotage::Doubles) => ledger.enter(call)?,
                None => {}
            }
            if !work.is_zero() {
                tokio::time::sleep(work).await;
            }
            Ok(call)
        }
    });
    settings(&options.service, &["--server_id", &options.id])?
        .service()
        .await?
        .handler(enter)
        .after_start(say_ready)
        .build()?
        .run()
        .await?;
    Ok(())
}

/// The default stack, restricted to this machine. The environment does not count: runs shall be the same everywhere.
pub(crate) fn settings(service: &str, more: &[&str]) -> Result<micro::Settings> {
    settings_with(service, more, Plugins::builtin())
}

/// The same with a table of plugins of one's own.
pub(crate) fn settings_with(service: &str, more: &[&str], plugins: Plugins) -> Result<micro::Settings> {
    let arguments = Arguments::new(service)
        .plugins(plugins)
        .default_value("registry_address", "lo")
        .default_value("server_address", "127.0.0.1:0");
    Ok(arguments.parse_from(more, [("", ""); 0])?)
}
