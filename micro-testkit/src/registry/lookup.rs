//! Cases of registering, deregistering, looking up and listing.

use futures_util::future::try_join_all;
use micro_core::registry::{Endpoint, ServiceRecord};

use super::record::register_through;
use super::subject::{RegistrySubject, found, ids_of};
use crate::suite::{Failure, Outcome, ensure, ensure_eq, needs};

pub(super) async fn an_unknown_service_is_not_found_and_never_an_empty_list(
    subject: RegistrySubject,
) -> Outcome {
    let records = found(subject.registry(), &subject.name("nobody")).await?;
    ensure!(
        records.is_empty(),
        "something was found where nothing was registered: {records:?}"
    );
    Ok(())
}

pub(super) async fn what_was_registered_is_found(subject: RegistrySubject) -> Outcome {
    let record = subject.record("greeter", &["a"]);
    subject.register(&record).await?;
    let found = subject
        .until(&record.name, "the record", |found| !found.is_empty())
        .await?;
    ensure_eq!(found.len(), 1, "the versions found");
    ensure_eq!(subject.carried(&found[0]), subject.carried(&record), "the record");
    Ok(())
}

pub(super) async fn registering_twice_does_not_duplicate(subject: RegistrySubject) -> Outcome {
    let record = subject.record("greeter", &["a"]);
    for _ in 0..3 {
        subject.register(&record).await?;
    }
    subject.until_nodes(&record.name, &["a"]).await?;
    let marker = subject.record("greeter", &["marker"]);
    subject.register(&marker).await?;
    subject.until_nodes(&record.name, &["a", "marker"]).await
}

pub(super) async fn registering_at_the_same_time_does_not_duplicate(subject: RegistrySubject) -> Outcome {
    let record = subject.record("greeter", &["a"]);
    try_join_all((0..8).map(|_| subject.register(&record))).await?;
    subject.until_nodes(&record.name, &["a"]).await?;
    subject.deregister(&record).await?;
    subject.until_nodes(&record.name, &[]).await
}

pub(super) async fn a_changed_address_replaces_the_old_one(subject: RegistrySubject) -> Outcome {
    let mut record = subject.record("greeter", &["a"]);
    subject.register(&record).await?;
    record.nodes[0].address = "127.0.0.1:9777".into();
    replaced(&subject, &record).await
}

pub(super) async fn changed_metadata_replace_the_old(subject: RegistrySubject) -> Outcome {
    let mut record = subject.record("greeter", &["a"]);
    record.nodes[0].metadata.insert("gone".into(), "1".into());
    record.nodes[0].metadata.insert("kept".into(), "1".into());
    subject.register(&record).await?;
    record.nodes[0].metadata.remove("gone");
    record.nodes[0].metadata.insert("kept".into(), "2".into());
    record.nodes[0].metadata.insert("new".into(), "3".into());
    replaced(&subject, &record).await
}

pub(super) async fn changed_endpoints_replace_the_old(subject: RegistrySubject) -> Outcome {
    needs!(subject.traits().carries_endpoints, "it carries no endpoints");
    let endpoint = |name: &str| Endpoint {
        name: name.into(),
        ..Endpoint::default()
    };
    let mut record = subject.record("greeter", &["a"]);
    record.endpoints = vec![endpoint("Greeter.Gone"), endpoint("Greeter.Kept")];
    subject.register(&record).await?;
    record.endpoints = vec![endpoint("Greeter.Kept"), endpoint("Greeter.New")];
    replaced(&subject, &record).await
}

/// Registers the changed record and waits until it stands in place of the old one.
async fn replaced(subject: &RegistrySubject, record: &ServiceRecord) -> Outcome {
    subject.register(record).await?;
    let wanted = subject.carried(record);
    let is_wanted = |found: &[ServiceRecord]| {
        found
            .iter()
            .map(|found| subject.carried(found))
            .eq([wanted.clone()])
    };
    subject
        .until(&record.name, "just the changed record", is_wanted)
        .await?;
    Ok(())
}

pub(super) async fn deregistering_what_is_absent_succeeds(subject: RegistrySubject) -> Outcome {
    let record = subject.record("nobody", &["a"]);
    subject.deregister(&record).await?;
    subject.register(&record).await?;
    subject.until_nodes(&record.name, &["a"]).await?;
    subject.deregister(&subject.record("nobody", &["other"])).await?;
    subject.deregister(&record).await?;
    subject.deregister(&record).await?;
    subject.until_nodes(&record.name, &[]).await
}

pub(super) async fn deregistering_one_of_two_nodes_leaves_the_other(subject: RegistrySubject) -> Outcome {
    let (one, two) = (
        subject.record("greeter", &["one"]),
        subject.record("greeter", &["two"]),
    );
    subject.register(&one).await?;
    subject.register(&two).await?;
    subject.until_nodes(&one.name, &["one", "two"]).await?;
    subject.deregister(&one).await?;
    subject.until_nodes(&one.name, &["two"]).await
}

pub(super) async fn deregistering_the_last_node_takes_the_service_with_it(
    subject: RegistrySubject,
) -> Outcome {
    let record = subject.record("greeter", &["a"]);
    subject.register(&record).await?;
    subject.until_nodes(&record.name, &["a"]).await?;
    subject.deregister(&record).await?;
    subject.until_nodes(&record.name, &[]).await
}

pub(super) async fn deregistering_goes_by_the_id_of_the_node(subject: RegistrySubject) -> Outcome {
    let mut record = subject.record("greeter", &["a", "b"]);
    subject.register(&record).await?;
    subject.until_nodes(&record.name, &["a", "b"]).await?;
    // Whoever takes a node out may know of it what was true an hour ago.
    record.nodes.remove(1);
    record.nodes[0].address = "127.0.0.1:1".into();
    record.nodes[0].metadata.insert("other".into(), "now".into());
    record.endpoints.clear();
    subject.deregister(&record).await?;
    subject.until_nodes(&record.name, &["b"]).await
}

pub(super) async fn several_nodes_are_registered_and_deregistered_with_one_record(
    subject: RegistrySubject,
) -> Outcome {
    let record = subject.record("greeter", &["a", "b", "c"]);
    subject.register(&record).await?;
    subject.until_nodes(&record.name, &["a", "b", "c"]).await?;
    subject
        .deregister(&subject.record("greeter", &["a", "c"]))
        .await?;
    subject.until_nodes(&record.name, &["b"]).await
}

pub(super) async fn a_record_without_nodes_makes_no_service(subject: RegistrySubject) -> Outcome {
    let record = subject.record("empty", &[]);
    // To refuse it is as good as to ignore it.
    let _ = subject.register(&record).await;
    let marker = subject.record("marker", &["a"]);
    subject.register(&marker).await?;
    subject.until_nodes(&marker.name, &["a"]).await?;
    subject.until_nodes(&record.name, &[]).await
}

pub(super) async fn versions_stay_apart(subject: RegistrySubject) -> Outcome {
    let one = subject.record("greeter", &["one"]);
    let two = ServiceRecord {
        version: "2".into(),
        ..subject.record("greeter", &["two"])
    };
    subject.register(&one).await?;
    subject.register(&two).await?;
    subject.until_nodes(&one.name, &["one", "two"]).await?;
    let mut found = found(subject.registry(), &one.name).await?;
    found.sort_by(|one, two| one.version.cmp(&two.version));
    let versions: Vec<_> = found
        .iter()
        .map(|record| (record.version.as_str(), record.nodes.len()))
        .collect();
    ensure_eq!(
        versions,
        [("1", 1), ("2", 1)],
        "versions and their numbers of nodes"
    );
    ensure_eq!(found[1].nodes[0].id, subject.name("two"), "the node of version 2");
    subject.deregister(&one).await?;
    subject.until_nodes(&one.name, &["two"]).await
}

pub(super) async fn nodes_of_one_version_are_merged(subject: RegistrySubject) -> Outcome {
    for id in ["a", "b", "c"] {
        subject.register(&subject.record("greeter", &[id])).await?;
    }
    let name = subject.name("greeter");
    subject.until_nodes(&name, &["a", "b", "c"]).await?;
    let found = found(subject.registry(), &name).await?;
    ensure_eq!(found.len(), 1, "the records of one version");
    Ok(())
}

pub(super) async fn a_service_whose_name_begins_alike_is_another(subject: RegistrySubject) -> Outcome {
    let names = ["greeter", "greeter-2", "greete", "greeter.sub", "greeter2"];
    for name in names {
        subject.register(&subject.record(name, &[name])).await?;
    }
    for name in names {
        subject.until_nodes(&subject.name(name), &[name]).await?;
    }
    subject
        .deregister(&subject.record("greeter", &["greeter"]))
        .await?;
    subject.until_nodes(&subject.name("greeter"), &[]).await?;
    for name in &names[1..] {
        subject.until_nodes(&subject.name(name), &[name]).await?;
    }
    Ok(())
}

/// The names and versions of this run in the list, in its order.
async fn listed(subject: &RegistrySubject) -> Result<Vec<(String, String)>, crate::Ending> {
    let all = subject.registry().list_services().await?;
    let ours = all
        .into_iter()
        .filter(|record| record.name.starts_with(subject.prefix()));
    Ok(ours.map(|record| (record.name, record.version)).collect())
}

async fn until_listed(subject: &RegistrySubject, wanted: &[(&str, &str)]) -> Outcome {
    let wanted: Vec<(String, String)> = wanted
        .iter()
        .map(|(name, version)| (subject.name(name), (*version).to_owned()))
        .collect();
    let until = tokio::time::Instant::now() + subject.traits().seen_within;
    loop {
        let listed = listed(subject).await?;
        if listed == wanted {
            return Ok(());
        }
        if tokio::time::Instant::now() >= until {
            ensure_eq!(listed, wanted, "the list of this run's services");
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

pub(super) async fn the_list_has_each_service_once_and_in_order(subject: RegistrySubject) -> Outcome {
    let second = ServiceRecord {
        version: "2".into(),
        ..subject.record("bravo", &["c"])
    };
    for record in [
        second,
        subject.record("charlie", &["a"]),
        subject.record("bravo", &["a"]),
        subject.record("bravo", &["b"]),
        subject.record("alpha", &["a"]),
    ] {
        subject.register(&record).await?;
    }
    until_listed(
        &subject,
        &[("alpha", "1"), ("bravo", "1"), ("bravo", "2"), ("charlie", "1")],
    )
    .await?;
    let all = subject.registry().list_services().await?;
    ensure!(
        all.is_sorted_by_key(|record| record.name.clone()),
        "the list is not sorted by name"
    );
    Ok(())
}

pub(super) async fn a_service_without_nodes_is_not_listed(subject: RegistrySubject) -> Outcome {
    let (gone, stays) = (subject.record("gone", &["a"]), subject.record("stays", &["a"]));
    subject.register(&gone).await?;
    subject.register(&stays).await?;
    until_listed(&subject, &[("gone", "1"), ("stays", "1")]).await?;
    subject.deregister(&gone).await?;
    until_listed(&subject, &[("stays", "1")]).await
}

pub(super) async fn what_one_instance_registers_another_sees(subject: RegistrySubject) -> Outcome {
    needs!(subject.traits().shared, "each instance has its own records");
    let another = subject.another().await?;
    let record = subject.record("greeter", &["theirs"]);
    register_through(&*another, &record).await?;
    subject.register(&subject.record("greeter", &["ours"])).await?;
    for registry in [subject.registry(), &another] {
        let late = Failure::new("an instance never saw the nodes of both");
        let within = subject.traits().seen_within;
        subject
            .look_up_until(
                registry,
                &record.name,
                late,
                |found| ids_of(found).len() == 2,
                within,
            )
            .await?;
    }
    another.deregister(&record).await?;
    subject.until_nodes(&record.name, &["ours"]).await
}

pub(super) async fn it_says_its_name(subject: RegistrySubject) -> Outcome {
    let name = subject.registry().name();
    let is_plain =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    ensure!(
        // Several registries as one have the names of all.
        name.split(',')
            .all(|name| !name.is_empty() && name.chars().all(is_plain)),
        "{name:?} is no name for a flag: lower-case letters, digits and dashes"
    );
    Ok(())
}
