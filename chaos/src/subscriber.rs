//! The subscriber process: a service on the default stack, or with another broker, which notes each event that it handles.

use std::sync::Arc;

use anyhow::Result;
use micro::prelude::*;

use crate::brokers;
use crate::ledger::Ledger;
use crate::options::{Sabotage, SubscriberOptions};
use crate::process::{end_with_parent, say_ready};
use crate::site::Site;

/// Handles events until a signal comes or the parent is gone.
pub(crate) async fn run(options: &SubscriberOptions) -> Result<()> {
    end_with_parent();
    let ledger = Arc::new(Ledger::create(&options.ledger)?);
    let sabotage = options.sabotage;
    let enter = subscriber_plain(options.topic.as_str(), move |_: Context, event: u64| {
        let ledger = ledger.clone();
        async move {
            match sabotage.filter(|_| event % 100 == 99) {
                Some(Sabotage::Errors) => return Err(Error::internal("chaos", "sabotage")),
                Some(Sabotage::Doubles) => ledger.enter(event)?,
                Some(Sabotage::Forgets) | None => {}
            }
            ledger.enter(event)
        }
    });
    let enter = enter.concurrency(options.concurrency);
    let enter = match &options.queue {
        Some(queue) => enter.queue(queue.as_str()),
        None => enter,
    };
    Site::told(&options.flags, &[])?
        .settings("chaos-subscriber", &[], brokers::plugins())?
        .service()
        .await?
        .subscriber(enter)
        .after_start(say_ready)
        .build()?
        .run()
        .await?;
    Ok(())
}
