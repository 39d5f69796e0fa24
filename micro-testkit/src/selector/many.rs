//! Cases of many nodes and many callers.

use std::time::{Duration, Instant};

use micro_core::Registry;
use micro_core::selector::Outcome as Call;

use super::subject::{SERVICE, SelectorSubject, record};
use crate::suite::{Ending, Failure, Outcome, ensure, ensure_eq, partly};

pub(super) async fn ten_thousand_nodes_are_no_burden(subject: SelectorSubject) -> Outcome {
    const NODES: usize = 10_000;
    let ids: Vec<String> = (0..NODES).map(|number| format!("{number:05}")).collect();
    subject.register(&record(ids.iter().map(String::as_str))).await?;
    let mut candidates = subject.select().await?;
    ensure_eq!(candidates.len(), NODES, "how many nodes there are to choose from");
    let mut tried = std::collections::HashSet::new();
    for _ in 0..NODES {
        tried.extend(candidates.next().map(|node| node.id().to_string()));
    }
    ensure_eq!(tried.len(), NODES, "how many nodes as many attempts got");
    // By the real clock: a choice that walked the nodes would take minutes here.
    let begin = Instant::now();
    for _ in 0..20_000 {
        subject.choose().await?;
    }
    let took = begin.elapsed();
    ensure!(
        took < Duration::from_secs(20),
        "20,000 choices among 10,000 nodes took {took:?}"
    );
    Ok(())
}

pub(super) async fn many_tasks_choose_while_nodes_change(subject: SelectorSubject) -> Outcome {
    subject.register(&record(["stays"])).await?;
    subject.until_nodes(&["stays"]).await?;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let subject = subject.clone();
        tasks.spawn(async move {
            for _ in 0..200 {
                let node = subject.choose().await?;
                let call = match fastrand::u8(..4) {
                    0 => Call::Failed,
                    1 => Call::Ignored,
                    _ => Call::Success {
                        latency: Duration::from_millis(1),
                    },
                };
                subject.selector.mark(SERVICE, &node, call);
                tokio::task::yield_now().await;
            }
            Ok::<_, Ending>(())
        });
    }
    for number in 0..100 {
        let comes = number.to_string();
        subject.register(&record([comes.as_str()])).await?;
        tokio::task::yield_now().await;
        subject.registry.deregister(&record([comes.as_str()])).await?;
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|panic| Failure::new(format!("a caller panicked: {panic}")))??;
    }
    subject.until_nodes(&["stays"]).await
}

pub(super) async fn dropped_choices_do_no_harm(subject: SelectorSubject) -> Outcome {
    subject.register(&record(["a"])).await?;
    for polls in 1..10 {
        let _ = partly(subject.select(), polls).await;
        let _ = partly(subject.selector.select("nobody", &Default::default()), polls).await;
    }
    subject.until_nodes(&["a"]).await
}
