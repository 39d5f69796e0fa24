//! Cases of nodes that fail.

use std::sync::Arc;
use std::time::Duration;

use micro_core::selector::{Candidate, Outcome as Call};
use tokio::time::{Instant, sleep};

use super::subject::{SERVICE, SelectorSubject, record};
use crate::suite::{Ending, Outcome, ensure, ensure_eq};

const IDS: [&str; 4] = ["a", "b", "c", "d"];
const CALLS: usize = 200;

/// Registers four nodes and returns the candidate of the first.
async fn four(subject: &SelectorSubject) -> Result<Arc<Candidate>, Ending> {
    subject.register(&record(IDS)).await?;
    subject.until_nodes(&IDS).await?;
    let mut candidates = subject.select().await?;
    let mut nodes = (0..IDS.len()).filter_map(|_| candidates.next());
    nodes
        .find(|node| node.id() == &micro_core::Text::from("a"))
        .ok_or_else(|| Ending::failed("node a is missing"))
}

async fn is_left_out_and_comes_back(subject: &SelectorSubject, node: &Candidate) -> Outcome {
    let chosen = subject.first_choices(CALLS).await?;
    ensure!(!chosen.contains("a"), "a node that failed is still chosen first");
    let mut left = subject.select().await?;
    let all = (0..IDS.len()).filter_map(|_| left.next()).count();
    ensure_eq!(
        all,
        IDS.len(),
        "how many nodes there are while one is out, which is a last resort still"
    );
    let until = Instant::now() + subject.traits.back_within;
    while Instant::now() < until {
        sleep(Duration::from_millis(100)).await;
        if subject.first_choices(CALLS).await?.contains("a") {
            subject.selector.mark(
                SERVICE,
                node,
                Call::Success {
                    latency: Duration::from_millis(1),
                },
            );
            let chosen = subject.first_choices(CALLS).await?;
            ensure_eq!(
                chosen.len(),
                IDS.len(),
                "the nodes chosen after the failing one answered again"
            );
            return Ok(());
        }
    }
    Err(Ending::failed(format!(
        "a node that failed was not tried again within {:?}",
        subject.traits.back_within
    )))
}

pub(super) async fn an_unreachable_node_is_left_out_and_comes_back(subject: SelectorSubject) -> Outcome {
    let node = four(&subject).await?;
    subject.selector.mark(SERVICE, &node, Call::Unreachable);
    is_left_out_and_comes_back(&subject, &node).await
}

pub(super) async fn a_failing_node_is_left_out_and_comes_back(subject: SelectorSubject) -> Outcome {
    let node = four(&subject).await?;
    for _ in 0..subject.traits.failures {
        subject.selector.mark(SERVICE, &node, Call::Failed);
    }
    is_left_out_and_comes_back(&subject, &node).await
}

pub(super) async fn a_success_is_held_against_nobody(subject: SelectorSubject) -> Outcome {
    let node = four(&subject).await?;
    for _ in 0..subject.traits.failures {
        subject.selector.mark(SERVICE, &node, Call::Failed);
        let latency = Duration::from_millis(1);
        subject.selector.mark(SERVICE, &node, Call::Success { latency });
    }
    let chosen = subject.first_choices(CALLS).await?;
    ensure!(
        chosen.contains("a"),
        "a node whose failures never came in a row is out"
    );
    Ok(())
}

pub(super) async fn calls_that_say_nothing_put_no_node_out(subject: SelectorSubject) -> Outcome {
    let node = four(&subject).await?;
    for _ in 0..100 {
        subject.selector.mark(SERVICE, &node, Call::Ignored);
    }
    let chosen = subject.first_choices(CALLS).await?;
    ensure!(chosen.contains("a"), "a node is out of which nothing was said");
    Ok(())
}

pub(super) async fn when_all_nodes_fail_one_is_still_given(subject: SelectorSubject) -> Outcome {
    four(&subject).await?;
    for _ in 0..subject.traits.failures {
        let mut candidates = subject.select().await?;
        for node in (0..IDS.len())
            .filter_map(|_| candidates.next())
            .collect::<Vec<_>>()
        {
            subject.selector.mark(SERVICE, &node, Call::Unreachable);
            subject.selector.mark(SERVICE, &node, Call::Failed);
        }
    }
    let mut candidates = subject.select().await?;
    let given = (0..IDS.len()).filter_map(|_| candidates.next()).count();
    ensure_eq!(given, IDS.len(), "the nodes that are given when all of them fail");
    Ok(())
}

pub(super) async fn a_reset_forgets_failures(subject: SelectorSubject) -> Outcome {
    let node = four(&subject).await?;
    for _ in 0..subject.traits.failures {
        subject.selector.mark(SERVICE, &node, Call::Failed);
    }
    subject.selector.reset("nobody");
    ensure!(
        !subject.first_choices(CALLS).await?.contains("a"),
        "the failing node is in again before the reset"
    );
    subject.selector.reset(SERVICE);
    ensure!(
        subject.first_choices(CALLS).await?.contains("a"),
        "the failing node is out after the reset"
    );
    Ok(())
}
