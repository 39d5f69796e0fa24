//! One module a run: what happens to the nodes, and what is promised.

mod rolling;
mod kill;
mod slow;
mod cold;
mod healthy;
mod broker;
mod blackout;
mod outage;

use anyhow::Result;

use crate::options::Run;
use crate::progress::Progress;
use crate::report::Report;

/// Makes a run.
pub(crate) async fn run(run: &Run, progress: &Progress) -> Result<Report> {
    match run {
        Run::Rolling(options) => rolling::run(options, progress).await,
        Run::Kill(options) => kill::run(options, progress).await,
        Run::Slow(options) => slow::run(options, progress).await,
        Run::Cold(options) => cold::run(options, progress).await,
        Run::Broker(options) => broker::run(options, progress).await,
        Run::Blackout(options) => Box::pin(blackout::run(options, progress)).await,
        Run::Outage(options) => Box::pin(outage::run(options, progress)).await,
        Run::Healthy(options) => healthy::run(options, progress).await,
    }
}
