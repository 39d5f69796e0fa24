//! Cases of what a record carries, and of its size.

use std::collections::BTreeMap;

use micro_core::Registry;
use micro_core::registry::{Endpoint, Node, RegisterOptions, ServiceRecord, Value};
use tokio::time::{Instant, sleep};

use super::subject::{PAUSE, RegistrySubject};
use crate::suite::{Ending, Outcome, ensure, ensure_eq};

/// A record with something in every field.
pub(super) fn full(subject: &RegistrySubject) -> ServiceRecord {
    let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let leaf = |name: &str, kind: &str| Value {
        name: name.into(),
        kind: kind.into(),
        values: Vec::new(),
    };
    let message = |name: &str| Value {
        name: name.into(),
        kind: name.into(),
        values: vec![
            leaf("name", "string"),
            Value {
                values: vec![leaf("id", "int64"), leaf("tags", "[]string")],
                ..leaf("inner", "Inner")
            },
        ],
    };
    let endpoint = |name: &str| Endpoint {
        name: name.into(),
        request: Some(message("Request")),
        response: Some(message("Response")),
        metadata: pairs(&[
            ("stream", "true"),
            ("description", "says \"hello\", in Köln & 東京"),
        ]),
    };
    ServiceRecord {
        name: subject.name("full"),
        version: "1.2.3-beta+build/7".into(),
        metadata: pairs(&[("owner", "team ä"), ("quote", "\"'\\`<>&")]),
        endpoints: vec![endpoint("Greeter.Hello"), endpoint("Greeter.Stream")],
        nodes: vec![
            Node {
                id: subject.name("full-one"),
                address: "127.0.0.1:9001".into(),
                metadata: pairs(&[
                    ("protocol", "mucp"),
                    ("transport", "http"),
                    ("path/with/slashes", "a/b//c"),
                    ("dots.and spaces", " leading, trailing and = signs "),
                    ("unicode ключ", "значение 🚀"),
                ]),
            },
            Node {
                id: subject.name("full-two"),
                address: "[::1]:9002".into(),
                metadata: pairs(&[("protocol", "grpc")]),
            },
        ],
    }
}

pub(super) async fn a_full_record_comes_back_whole(subject: RegistrySubject) -> Outcome {
    let record = full(&subject);
    subject.register(&record).await?;
    let found = subject
        .until(&record.name, "both nodes", |found| {
            found.first().is_some_and(|found| found.nodes.len() == 2)
        })
        .await?;
    ensure_eq!(found.len(), 1, "the versions found");
    ensure_eq!(subject.carried(&found[0]), subject.carried(&record), "the record");
    Ok(())
}

pub(super) async fn empty_texts_come_back_empty(subject: RegistrySubject) -> Outcome {
    let mut record = subject.record("empty", &["a"]);
    record.nodes[0].metadata.insert("empty".into(), String::new());
    record.endpoints.push(Endpoint {
        name: "Greeter.Hello".into(),
        ..Endpoint::default()
    });
    subject.register(&record).await?;
    let found = subject
        .until(&record.name, "the record", |found| !found.is_empty())
        .await?;
    ensure_eq!(subject.carried(&found[0]), subject.carried(&record), "the record");
    Ok(())
}

/// A record whose JSON has about this many bytes, most of them in the metadata of its node.
fn sized(subject: &RegistrySubject, bytes: usize) -> ServiceRecord {
    let mut record = subject.record("large", &["a"]);
    let mut left = bytes.saturating_sub(400);
    while left > 0 {
        let length = left.min(512);
        let number = record.nodes[0].metadata.len();
        // Text that does not shrink to nothing where a registry compresses.
        let value: String = (0..length.saturating_sub(18))
            .map(|_| fastrand::alphanumeric())
            .collect();
        record.nodes[0].metadata.insert(format!("key-{number:06}"), value);
        left -= length;
    }
    record
}

pub(super) async fn a_record_of_the_promised_size_works(subject: RegistrySubject) -> Outcome {
    let record = sized(&subject, subject.traits().max_record);
    subject.register(&record).await?;
    let found = subject
        .until(&record.name, "the record", |found| !found.is_empty())
        .await?;
    ensure!(
        found[0].nodes == record.nodes,
        "the node of a large record came back changed"
    );
    Ok(())
}

pub(super) async fn a_record_of_one_megabyte_works_or_is_refused_by_name(
    subject: RegistrySubject,
) -> Outcome {
    let record = sized(&subject, 1_000_000);
    works_or_is_refused(&subject, &record, &record.name).await?;
    let small = subject.record("small", &["a"]);
    subject.register(&small).await?;
    subject.until_nodes(&small.name, &["a"]).await
}

/// Either the record can be found, listed and taken out again, or it is refused with an error that says `name`.
pub(super) async fn works_or_is_refused(
    subject: &RegistrySubject,
    record: &ServiceRecord,
    name: &str,
) -> Outcome {
    if let Err(error) = subject.register(record).await {
        ensure!(
            says(&error.to_string(), name),
            "registering was refused with an error that does not name {name:?}: {error}"
        );
        return Ok(());
    }
    let is_there = |found: &[ServiceRecord]| {
        found
            .iter()
            .any(|found| found.version == record.version && found.nodes == record.nodes)
    };
    let found = subject
        .until(&record.name, "the record that was accepted", is_there)
        .await?;
    for found in found.iter().filter(|found| found.version == record.version) {
        ensure_eq!(found.name, record.name, "the name of what was found");
    }
    until_listed(subject, &record.name).await?;
    subject.deregister(record).await?;
    subject
        .until(&record.name, "that the record was deregistered", |found| {
            !is_there(found)
        })
        .await?;
    Ok(())
}

/// The list, like look-ups, may take a while to show what is new.
async fn until_listed(subject: &RegistrySubject, name: &str) -> Outcome {
    let until = Instant::now() + subject.traits().seen_within;
    loop {
        let listed = subject.registry().list_services().await?;
        if listed.iter().any(|record| record.name == name) {
            return Ok(());
        }
        ensure!(
            Instant::now() < until,
            "{name:?} was accepted and found but is not listed"
        );
        sleep(PAUSE).await;
    }
}

/// Whether an error's text has a name, as it is or as Rust quotes it, or cut where it is very long.
fn says(text: &str, name: &str) -> bool {
    let quoted = format!("{name:?}");
    let begins: String = name.chars().take(60).collect();
    text.contains(name)
        || text.contains(quoted.trim_matches('"'))
        || (name.len() > 100 && text.contains(&begins))
}

/// Registers for the time of a case, through an instance that is not the subject's own.
pub(super) async fn register_through(registry: &dyn Registry, record: &ServiceRecord) -> Result<(), Ending> {
    let ttl = Some(std::time::Duration::from_secs(120));
    registry.register(record, RegisterOptions { ttl }).await?;
    Ok(())
}
