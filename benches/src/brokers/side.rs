//! The process of one side: publishes for as long as it is told to, and handles what it published.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::ValueEnum;
use servers::Kind;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{CONCURRENCY, Contest, SIZE, bare, ours};
use crate::command::{StreamResult, answer_line};

/// How long the last events may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often to look whether they have come.
const PAUSE: Duration = Duration::from_micros(200);

/// Whose process it is.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SideName {
    Ours,
    Bare,
}

impl std::fmt::Display for SideName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Ours => "ours",
            Self::Bare => "bare",
        })
    }
}

/// One side, subscribed to what it publishes.
pub(super) trait Publish: Send + Sync + 'static {
    /// Returns when the server has accepted the message.
    fn publish(&self, body: Bytes) -> impl Future<Output = Result<()>> + Send;
}

/// How many events have been handled.
pub(super) type Handled = Arc<AtomicU64>;

/// Counts an event, as its handler.
pub(super) fn handle(handled: &AtomicU64, body: &[u8]) {
    // A message that is not what was published is not counted, and so stops the run.
    if body.len() == SIZE {
        handled.fetch_add(1, Ordering::Relaxed);
    }
}

/// Publishes and handles for so many milliseconds, each time a line comes in that says how many.
pub(crate) async fn run(contest: Contest, side: SideName, server: SocketAddr) -> Result<()> {
    let handled = Handled::default();
    let topic = format!("bench-{side}-{:08x}", fastrand::u32(..));
    match (side, contest.kind) {
        (SideName::Ours, _) => {
            obey(
                ours::start(contest, server, &topic, handled.clone()).await?,
                handled,
            )
            .await
        }
        (_, Kind::Nats) if contest.is_plain => {
            obey(bare::nats_plain(server, &topic, handled.clone()).await?, handled).await
        }
        (_, Kind::Nats) => obey(bare::nats(server, &topic, handled.clone()).await?, handled).await,
        (_, Kind::Kafka) => obey(bare::kafka(server, &topic, handled.clone()).await?, handled).await,
        (_, Kind::Redis) => obey(bare::redis(server, &topic, handled.clone()).await?, handled).await,
        (_, Kind::Rabbitmq) => obey(bare::rabbitmq(server, &topic, handled.clone()).await?, handled).await,
        (_, kind) => bail!("there is no bare client of {kind}"),
    }
}

async fn obey(side: impl Publish, handled: Handled) -> Result<()> {
    let side = Arc::new(side);
    println!("ready");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let milliseconds = line.parse().with_context(|| format!("{line:?} is no number"))?;
        let result = exchange(&side, &handled, Duration::from_millis(milliseconds)).await;
        println!("{}", answer_line(&result.map(Vec::from)));
    }
    Ok(())
}

async fn exchange(side: &Arc<impl Publish>, handled: &Handled, time: Duration) -> Result<StreamResult> {
    let before = handled.load(Ordering::Relaxed);
    let began = Instant::now();
    let until = began + time;
    let mut publishers = JoinSet::new();
    for _ in 0..CONCURRENCY {
        let side = side.clone();
        publishers.spawn(async move {
            let body = Bytes::from(vec![b'x'; SIZE]);
            let mut count = 0;
            while Instant::now() < until {
                side.publish(body.clone()).await?;
                count += 1;
            }
            anyhow::Ok(count)
        });
    }
    let mut messages = 0;
    while let Some(count) = publishers.join_next().await {
        messages += count??;
    }
    while handled.load(Ordering::Relaxed) < before + messages {
        if began.elapsed() > time + PATIENCE {
            let came = handled.load(Ordering::Relaxed) - before;
            bail!("only {came} of {messages} messages have come");
        }
        sleep(PAUSE).await;
    }
    Ok(StreamResult {
        messages,
        nanoseconds: u64::try_from(began.elapsed().as_nanos())?,
    })
}
