//! Cases of many nodes, of much at once, and of futures that are dropped.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::try_join_all;
use micro_core::registry::{Action, Change, KnownNodes, Node, ServiceRecord};

use super::subject::{RegistrySubject, found, ids_of};
use super::watching::Watching;
use crate::suite::{Failure, Outcome, ensure, ensure_eq, partly};

/// How many requests are made at once where there are many.
const AT_ONCE: usize = 16;

/// How long many nodes may take, where one takes at most `seen_within`.
fn patience(subject: &RegistrySubject) -> Duration {
    subject.traits().seen_within * 4
}

/// Registers that many nodes, each with a record of its own, and returns their ids.
async fn register_many(subject: &RegistrySubject) -> Result<BTreeSet<String>, crate::Ending> {
    let ids: Vec<String> = (0..subject.traits().many_nodes)
        .map(|number| format!("{number:05}"))
        .collect();
    for ids in ids.chunks(AT_ONCE) {
        let records: Vec<ServiceRecord> = ids.iter().map(|id| subject.record("many", &[id])).collect();
        try_join_all(records.iter().map(|record| subject.register(record))).await?;
    }
    Ok(ids.iter().map(|id| subject.name(id)).collect())
}

pub(super) async fn many_nodes_are_found(subject: RegistrySubject) -> Outcome {
    let ids = register_many(&subject).await?;
    let name = subject.name("many");
    let late = Failure::new(format!("a look-up never gave all {} nodes", ids.len()));
    let all = |found: &[ServiceRecord]| ids_of(found).iter().eq(&ids);
    let records = subject
        .look_up_until(subject.registry(), &name, late, all, patience(&subject))
        .await?;
    ensure_eq!(records.len(), 1, "the records of one version");
    Ok(())
}

pub(super) async fn many_nodes_are_seen_by_a_watcher(subject: RegistrySubject) -> Outcome {
    let name = subject.name("many");
    let mut watching = subject.watch(Some(&name)).await?.within(patience(&subject));
    let (ids, seen) = tokio::join!(register_many(&subject), async {
        let mut seen = BTreeSet::new();
        while seen.len() < subject.traits().many_nodes {
            let told = watching.next("further ones of many nodes").await?;
            ensure!(
                told.action == Action::Create,
                "a node that was only registered was told as {}",
                told.action
            );
            ensure!(
                seen.insert(told.node.id.clone()),
                "the node {} was told twice",
                told.node.id
            );
        }
        Ok(seen)
    });
    ensure!(ids? == seen?, "the watcher told other nodes than were registered");
    Ok(())
}

/// Applies what the watcher tells until it knows what look-ups give.
async fn until_it_agrees(
    subject: &RegistrySubject,
    watching: &mut Watching,
    known: &mut KnownNodes,
    name: &str,
) -> Outcome {
    let wanted = ids_of(&found(subject.registry(), name).await?);
    while ids_of(&known.service(name)) != wanted {
        let told = watching
            .next("what would make it agree with the look-ups")
            .await?;
        known.apply(Change {
            action: told.action,
            service: told.service.with_nodes(vec![told.node]),
        });
    }
    Ok(())
}

pub(super) async fn a_watcher_that_is_read_late_misses_nothing(subject: RegistrySubject) -> Outcome {
    let name = subject.name("many");
    let mut watching = subject.watch(Some(&name)).await?.within(patience(&subject));
    let ids = register_many(&subject).await?;
    let gone: Vec<&String> = ids.iter().step_by(2).collect();
    let record = subject.record("many", &[]);
    for gone in gone.chunks(AT_ONCE) {
        let records: Vec<ServiceRecord> = gone
            .iter()
            .map(|id| record.with_nodes(vec![Node::new(*id, "")]))
            .collect();
        try_join_all(records.iter().map(|record| subject.deregister(record))).await?;
    }
    let late = Failure::new("look-ups never showed just every second node");
    let half = |found: &[ServiceRecord]| ids_of(found).len() == ids.len() - gone.len();
    subject
        .look_up_until(subject.registry(), &name, late, half, patience(&subject))
        .await?;
    until_it_agrees(&subject, &mut watching, &mut KnownNodes::new(), &name).await
}

pub(super) async fn a_storm_ends_in_the_right_state_and_the_watcher_agrees(
    subject: RegistrySubject,
) -> Outcome {
    const NODES: usize = 16;
    const ROUNDS: usize = 10;
    let name = subject.name("storm");
    let mut watching = subject.watch(Some(&name)).await?.within(patience(&subject));
    let storm = (0..NODES).map(|number| {
        let subject = subject.clone();
        async move {
            let mut record = subject.record("storm", &[&number.to_string()]);
            for round in 0..ROUNDS {
                record.nodes[0].metadata.insert("round".into(), round.to_string());
                subject.register(&record).await?;
                if fastrand::bool() {
                    subject.deregister(&record).await?;
                }
            }
            match number % 2 {
                0 => subject.register(&record).await,
                _ => subject.deregister(&record).await,
            }
        }
    });
    let mut running = tokio::task::JoinSet::new();
    storm.for_each(|task| {
        running.spawn(task);
    });
    while let Some(ended) = running.join_next().await {
        ended.map_err(|panic| Failure::new(format!("the storm panicked: {panic}")))??;
    }
    let last: Vec<String> = (0..NODES).step_by(2).map(|number| number.to_string()).collect();
    let last: Vec<&str> = last.iter().map(String::as_str).collect();
    subject.until_nodes(&name, &last).await?;
    let mut known = KnownNodes::new();
    until_it_agrees(&subject, &mut watching, &mut known, &name).await?;
    // The storm passed through this very state perhaps; only what comes last counts.
    let marker = subject.record("storm", &["marker"]);
    subject.register(&marker).await?;
    let ids = |known: &KnownNodes| ids_of(&known.service(&name));
    while !ids(&known).contains(&marker.nodes[0].id) {
        let told = watching
            .next("the node that was registered after the storm")
            .await?;
        known.apply(Change {
            action: told.action,
            service: told.service.with_nodes(vec![told.node]),
        });
    }
    let mut wanted: Vec<String> = last
        .iter()
        .map(|id| subject.name(id))
        .chain([marker.nodes[0].id.clone()])
        .collect();
    wanted.sort();
    ensure_eq!(ids(&known), wanted, "what the watcher knows after the storm");
    Ok(())
}

pub(super) async fn dropped_futures_leave_nothing_half_done(subject: RegistrySubject) -> Outcome {
    let record = subject.record("greeter", &["a", "b"]);
    for polls in 1..12 {
        let _ = partly(subject.register(&record), polls).await;
        let _ = partly(subject.registry().get_service(&record.name), polls).await;
        let _ = partly(subject.registry().list_services(), polls).await;
        let _ = partly(subject.registry().watch(Some(&record.name)), polls).await;
        let _ = partly(subject.deregister(&record), polls).await;
    }
    try_join_all([subject.register(&record)]).await?;
    let records = subject
        .until(&record.name, "both nodes after futures were dropped", |found| {
            ids_of(found).len() == 2
        })
        .await?;
    ensure_eq!(
        subject.carried(&records[0]),
        subject.carried(&record),
        "the record"
    );
    subject.deregister(&record).await?;
    subject.until_nodes(&record.name, &[]).await
}
