//! Cases of records that lapse.

use std::time::Duration;

use micro_core::registry::{Action, ServiceRecord};
use tokio::time::{Instant, sleep};

use super::subject::{RegistrySubject, found};
use crate::suite::{Failure, Outcome, ensure, ensure_eq, needs};

/// The time to live that lapses are tried with, and how long a lapse may take in all.
fn times(subject: &RegistrySubject) -> (Option<Duration>, Duration) {
    let traits = subject.traits();
    let whole = traits.min_ttl + traits.lapse_delay + traits.seen_within;
    (Some(traits.min_ttl), whole)
}

async fn until_lapsed(subject: &RegistrySubject, name: &str) -> Outcome {
    let (ttl, whole) = times(subject);
    let late = Failure::new(format!("a record with the time to live {ttl:?} did not lapse"));
    let is_gone = |found: &[ServiceRecord]| found.is_empty();
    subject
        .look_up_until(subject.registry(), name, late, is_gone, whole)
        .await?;
    Ok(())
}

pub(super) async fn a_record_lapses_when_it_is_not_registered_again(subject: RegistrySubject) -> Outcome {
    needs!(subject.traits().lapses, "records do not lapse");
    let record = subject.record("greeter", &["a"]);
    let begin = Instant::now();
    subject.register_for(&record, times(&subject).0).await?;
    subject.until_nodes(&record.name, &["a"]).await?;
    until_lapsed(&subject, &record.name).await?;
    let early = subject.traits().min_ttl.mul_f32(0.8);
    ensure!(
        begin.elapsed() >= early,
        "the record lapsed already after {:?}",
        begin.elapsed()
    );
    Ok(())
}

pub(super) async fn a_record_that_is_registered_again_lives_on(subject: RegistrySubject) -> Outcome {
    needs!(subject.traits().lapses, "records do not lapse");
    let record = subject.record("greeter", &["a"]);
    let (ttl, whole) = times(&subject);
    subject.register_for(&record, ttl).await?;
    subject.until_nodes(&record.name, &["a"]).await?;
    // A record that lapses all the same is back with the next registration, so that look-ups may miss it. It is
    // read meanwhile, because a watcher that is read late may rightly leave out what came and went.
    let mut watching = subject.watch(Some(&record.name)).await?.within(whole * 10);
    let refreshed = async {
        let until = Instant::now() + (whole - subject.traits().seen_within) + subject.traits().min_ttl;
        while Instant::now() < until {
            sleep(subject.traits().min_ttl / 4).await;
            subject.register_for(&record, ttl).await?;
            let records = found(subject.registry(), &record.name).await?;
            ensure_eq!(
                records.len(),
                1,
                "the records of a service that is registered again and again"
            );
        }
        Ok(())
    };
    tokio::select! {
        refreshed = refreshed => refreshed,
        told = watching.next("anything") => Err(Failure::new(format!(
            "a watcher was told something while a record was registered again and again: {:?}", told?
        )).into()),
    }
}

pub(super) async fn a_lapsed_record_can_be_registered_again(subject: RegistrySubject) -> Outcome {
    needs!(subject.traits().lapses, "records do not lapse");
    let record = subject.record("greeter", &["a"]);
    subject.register_for(&record, times(&subject).0).await?;
    until_lapsed(&subject, &record.name).await?;
    subject.register(&record).await?;
    subject.until_nodes(&record.name, &["a"]).await
}

pub(super) async fn a_lapsed_node_leaves_its_neighbours_alone(subject: RegistrySubject) -> Outcome {
    needs!(subject.traits().lapses, "records do not lapse");
    let (lapses, stays) = (
        subject.record("greeter", &["lapses"]),
        subject.record("greeter", &["stays"]),
    );
    subject.register(&stays).await?;
    subject.register_for(&lapses, times(&subject).0).await?;
    subject.until_nodes(&stays.name, &["lapses", "stays"]).await?;
    let late = Failure::new("the node with the short time to live did not lapse, or not alone");
    let only_one = |found: &[ServiceRecord]| {
        found.len() == 1 && found[0].nodes.len() == 1 && found[0].nodes[0].id == stays.nodes[0].id
    };
    let whole = times(&subject).1;
    subject
        .look_up_until(subject.registry(), &stays.name, late, only_one, whole)
        .await?;
    Ok(())
}

pub(super) async fn a_record_without_a_time_to_live_stays(subject: RegistrySubject) -> Outcome {
    let (stays, lapses) = (subject.record("stays", &["a"]), subject.record("lapses", &["a"]));
    subject.register_for(&stays, None).await?;
    if subject.traits().lapses {
        subject.register_for(&lapses, times(&subject).0).await?;
        until_lapsed(&subject, &lapses.name).await?;
    }
    subject.until_nodes(&stays.name, &["a"]).await
}

pub(super) async fn a_watcher_sees_that_a_record_lapses(subject: RegistrySubject) -> Outcome {
    needs!(subject.traits().lapses, "records do not lapse");
    let record = subject.record("greeter", &["a"]);
    let mut watching = subject.watch(Some(&record.name)).await?.within(times(&subject).1);
    subject.register_for(&record, times(&subject).0).await?;
    let told = watching.next("a record that is to lapse").await?;
    ensure_eq!(told.action, Action::Create, "the action when it was registered");
    let told = watching.next("the lapse of the record").await?;
    ensure_eq!(told.action, Action::Delete, "the action when it lapsed");
    ensure_eq!(told.node.id, record.nodes[0].id, "the node that lapsed");
    Ok(())
}
