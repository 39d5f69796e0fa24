//! The node process: a whole service on the default stack, which notes each call that it runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use micro::handler::endpoint_fn;
use micro::prelude::*;

use crate::ledger::Ledger;
use crate::options::{NodeOptions, Sabotage};
use crate::process::{end_with_parent, say_ready};
use crate::site::Site;

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
                Some(Sabotage::Forgets) | None => {}
            }
            if !work.is_zero() {
                tokio::time::sleep(work).await;
            }
            Ok(call)
        }
    });
    let mut more = vec!["--server_id", &options.id];
    if sabotage == Some(Sabotage::Forgets) {
        more.extend(["--register_ttl=2h", "--register_interval=1h"]);
    }
    Site::told(&options.flags, &options.variables)?
        .settings(&options.service, &more, Plugins::builtin())?
        .service()
        .await?
        .handler(enter)
        .after_start(say_ready)
        .build()?
        .run()
        .await?;
    Ok(())
}

/// The default stack, restricted to this machine.
pub(crate) fn settings(service: &str) -> Result<micro::Settings> {
    Site::local().settings(service, &[], Plugins::builtin())
}
