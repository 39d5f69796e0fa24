//! Cases of watchers.

use std::collections::VecDeque;
use std::time::Duration;

use micro_core::registry::{Action, Change, Node, ServiceRecord, Watcher};

use super::subject::RegistrySubject;
use crate::suite::{Ending, Outcome, ensure, ensure_eq, needs, partly, soon};

/// A watcher whose changes are read node by node, those of other runs left out.
pub(super) struct Watching {
    watcher: Watcher,
    within: Duration,
    prefix: String,
    split: VecDeque<Told>,
}

/// What a watcher told of one node.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) action: Action,
    pub(super) service: ServiceRecord,
    pub(super) node: Node,
}

impl Watching {
    pub(super) fn new(watcher: Watcher, within: Duration, prefix: &str) -> Self {
        Self {
            watcher,
            within,
            prefix: prefix.to_owned(),
            split: VecDeque::new(),
        }
    }

    /// The same watcher with another patience.
    pub(super) fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// The watcher itself.
    pub(super) fn watcher(&mut self) -> &mut Watcher {
        &mut self.watcher
    }

    pub(super) async fn next(&mut self, waiting_for: &str) -> Result<Told, Ending> {
        loop {
            if let Some(told) = self.split.pop_front() {
                return Ok(told);
            }
            let what = format!("the watcher told nothing of {waiting_for}");
            let change = soon(self.within, &what, self.watcher.next()).await??;
            self.take(change);
        }
    }

    /// Notes a change that was read from the watcher itself.
    pub(super) fn take(&mut self, change: Change) {
        if change.service.name.contains(&self.prefix) {
            self.split.extend(change.service.nodes.iter().map(|node| Told {
                action: change.action,
                service: change.service.clone(),
                node: node.clone(),
            }));
        }
    }

    /// The next change must be this one.
    async fn expect(&mut self, action: Action, record: &ServiceRecord, id: &str) -> Result<Told, Ending> {
        let what = format!("{action} of node {id}");
        let told = self.next(&what).await?;
        let is_it = told.action == action && told.node.id == id && told.service.name == record.name;
        ensure!(
            is_it,
            "the watcher should tell {what} of {} next but told {told:?}",
            record.name
        );
        ensure_eq!(
            told.service.version,
            record.version,
            "the version in what the watcher told"
        );
        Ok(told)
    }
}

pub(super) async fn a_watcher_sees_a_node_come_change_and_go(subject: RegistrySubject) -> Outcome {
    let mut record = subject.record("greeter", &["a"]);
    let id = subject.name("a");
    let mut watching = subject.watch(Some(&record.name)).await?;
    subject.register(&record).await?;
    watching.expect(Action::Create, &record, &id).await?;
    record.nodes[0].address = "127.0.0.1:9999".into();
    subject.register(&record).await?;
    let told = watching.expect(Action::Update, &record, &id).await?;
    ensure_eq!(
        told.node.address,
        "127.0.0.1:9999",
        "the address after the change"
    );
    subject.deregister(&record).await?;
    watching.expect(Action::Delete, &record, &id).await?;
    subject.register(&record).await?;
    watching.expect(Action::Create, &record, &id).await?;
    Ok(())
}

pub(super) async fn a_watcher_is_not_told_what_was_before_it(subject: RegistrySubject) -> Outcome {
    let before = subject.record("greeter", &["before"]);
    subject.register(&before).await?;
    subject.until_nodes(&before.name, &["before"]).await?;
    let mut of_one = subject.watch(Some(&before.name)).await?;
    let mut of_all = subject.watch(None).await?;
    let after = subject.record("greeter", &["after"]);
    subject.register(&after).await?;
    of_one
        .expect(Action::Create, &after, &subject.name("after"))
        .await?;
    of_all
        .expect(Action::Create, &after, &subject.name("after"))
        .await?;
    Ok(())
}

pub(super) async fn a_watcher_is_told_nothing_of_a_mere_refresh(subject: RegistrySubject) -> Outcome {
    let record = subject.record("greeter", &["a"]);
    let mut watching = subject.watch(Some(&record.name)).await?;
    subject.register(&record).await?;
    watching
        .expect(Action::Create, &record, &subject.name("a"))
        .await?;
    for _ in 0..5 {
        subject.register(&record).await?;
    }
    let marker = subject.record("greeter", &["marker"]);
    subject.register(&marker).await?;
    watching
        .expect(Action::Create, &marker, &subject.name("marker"))
        .await?;
    Ok(())
}

pub(super) async fn a_watcher_of_one_service_sees_no_other(subject: RegistrySubject) -> Outcome {
    let mine = subject.record("greeter", &["mine"]);
    let mut watching = subject.watch(Some(&mine.name)).await?;
    let mut of_all = subject.watch(None).await?;
    // Names that begin alike are where a watch by prefix goes wrong.
    for other in ["other", "greeter-2", "greete", "greeter.sub"] {
        let other = subject.record(other, &["a"]);
        subject.register(&other).await?;
        of_all.expect(Action::Create, &other, &subject.name("a")).await?;
    }
    subject.register(&mine).await?;
    watching
        .expect(Action::Create, &mine, &subject.name("mine"))
        .await?;
    Ok(())
}

pub(super) async fn a_watcher_of_all_sees_all(subject: RegistrySubject) -> Outcome {
    let mut watching = subject.watch(None).await?;
    for name in ["one", "two", "three"] {
        let record = subject.record(name, &["a"]);
        subject.register(&record).await?;
        watching
            .expect(Action::Create, &record, &subject.name("a"))
            .await?;
    }
    for name in ["two", "one", "three"] {
        let record = subject.record(name, &["a"]);
        subject.deregister(&record).await?;
        watching
            .expect(Action::Delete, &record, &subject.name("a"))
            .await?;
    }
    Ok(())
}

pub(super) async fn a_watcher_may_begin_before_its_service(subject: RegistrySubject) -> Outcome {
    let record = subject.record("nobody-yet", &["a"]);
    let mut watching = subject.watch(Some(&record.name)).await?;
    ensure!(
        partly(watching.watcher().next(), 3).await.is_none(),
        "the watcher told something of a service that nobody registered"
    );
    subject.register(&record).await?;
    watching
        .expect(Action::Create, &record, &subject.name("a"))
        .await?;
    Ok(())
}

pub(super) async fn a_watcher_tells_whole_records(subject: RegistrySubject) -> Outcome {
    let record = super::record::full(&subject);
    let mut watching = subject.watch(Some(&record.name)).await?;
    subject.register(&record).await?;
    let mut whole = record.with_nodes(Vec::new());
    for _ in &record.nodes {
        let told = watching.next("a full record").await?;
        ensure_eq!(told.action, Action::Create, "the action of {}", told.node.id);
        let told_of = subject.carried(&told.service.with_nodes(Vec::new()));
        ensure_eq!(
            told_of,
            subject.carried(&record.with_nodes(Vec::new())),
            "the service that was told"
        );
        whole.nodes.push(told.node);
    }
    ensure_eq!(
        subject.carried(&whole),
        subject.carried(&record),
        "the nodes that were told"
    );
    Ok(())
}

pub(super) async fn a_watcher_that_is_waited_for_in_pieces_misses_nothing(
    subject: RegistrySubject,
) -> Outcome {
    let name = subject.name("greeter");
    let mut watching = subject.watch(Some(&name)).await?;
    for number in 0..20 {
        let record = subject.record("greeter", &[&format!("{number:02}")]);
        let _ = partly(watching.watcher().next(), 1)
            .await
            .map(|change| change.map(|change| watching.take(change)));
        subject.register(&record).await?;
        for polls in 1..4 {
            if let Some(change) = partly(watching.watcher().next(), polls).await {
                watching.take(change?);
            }
        }
    }
    for number in 0..20 {
        let record = subject.record("greeter", &[]);
        watching
            .expect(Action::Create, &record, &subject.name(&format!("{number:02}")))
            .await?;
    }
    Ok(())
}

pub(super) async fn several_watchers_see_the_same(subject: RegistrySubject) -> Outcome {
    let record = subject.record("greeter", &["a"]);
    let id = subject.name("a");
    let mut watchers = Vec::new();
    for _ in 0..5 {
        watchers.push(subject.watch(Some(&record.name)).await?);
    }
    subject.register(&record).await?;
    for watching in &mut watchers {
        watching.expect(Action::Create, &record, &id).await?;
    }
    subject.deregister(&record).await?;
    for watching in &mut watchers {
        watching.expect(Action::Delete, &record, &id).await?;
    }
    Ok(())
}

pub(super) async fn a_dropped_watcher_leaves_the_others_alone(subject: RegistrySubject) -> Outcome {
    let record = subject.record("greeter", &["a"]);
    let mut kept = subject.watch(Some(&record.name)).await?;
    for round in 0..50 {
        let mut dropped = subject
            .watch((round % 2 == 0).then_some(record.name.as_str()))
            .await?;
        let _ = partly(dropped.watcher().next(), 1).await;
    }
    subject.register(&record).await?;
    kept.expect(Action::Create, &record, &subject.name("a")).await?;
    subject.until_nodes(&record.name, &["a"]).await
}

pub(super) async fn what_one_instance_registers_a_watcher_of_another_sees(
    subject: RegistrySubject,
) -> Outcome {
    needs!(subject.traits().shared, "each instance has its own records");
    let record = subject.record("greeter", &["a"]);
    let another = subject.another().await?;
    let watcher = soon(
        subject.traits().seen_within,
        "watch",
        another.watch(Some(&record.name)),
    )
    .await??;
    let mut watching = Watching::new(watcher, subject.traits().seen_within, subject.prefix());
    subject.register(&record).await?;
    watching
        .expect(Action::Create, &record, &subject.name("a"))
        .await?;
    subject.deregister(&record).await?;
    watching
        .expect(Action::Delete, &record, &subject.name("a"))
        .await?;
    Ok(())
}
