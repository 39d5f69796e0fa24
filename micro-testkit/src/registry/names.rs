//! Cases of names, versions and ids that are unlike those that people usually give.

use micro_core::registry::{Node, ServiceRecord};

use super::record::works_or_is_refused;
use super::subject::{RegistrySubject, found, ids_of};
use crate::suite::{Outcome, ensure_eq};

/// What is put behind the name of the run.
fn odd_texts() -> Vec<String> {
    let short = [
        "go.micro.api",
        "dot.",
        ".dot",
        "a/b/c",
        "/slash/",
        "a//b",
        "a/../b",
        "two words",
        " spaces around ",
        "grüße",
        "東京",
        "🚀 and e\u{301}",
        "per%2Fcent%",
        "plus+and&and=and?and#",
        "quote\"'`\\",
        "UPPER_lower-09~",
        "star*and>and$",
        "colon:semi;comma,at@",
        "new\nline",
        "tab\tand\u{1}control",
        "nul\0",
        "{\"json\":[1]}",
    ];
    let long = ["x".repeat(64), "x".repeat(300), "ü".repeat(200)];
    short.iter().map(|text| (*text).to_owned()).chain(long).collect()
}

pub(super) async fn names_of_any_kind_work_or_are_refused_by_name(subject: RegistrySubject) -> Outcome {
    for text in odd_texts() {
        let record = subject.record(&text, &["a"]);
        works_or_is_refused(&subject, &record, &record.name).await?;
    }
    Ok(())
}

pub(super) async fn versions_of_any_kind_work_or_are_refused_by_name(subject: RegistrySubject) -> Outcome {
    for version in odd_texts().into_iter().chain([String::new()]) {
        let record = ServiceRecord {
            version,
            ..subject.record("greeter", &["a"])
        };
        works_or_is_refused(&subject, &record, &record.name).await?;
    }
    Ok(())
}

pub(super) async fn ids_of_any_kind_work_or_are_refused_by_name(subject: RegistrySubject) -> Outcome {
    for text in odd_texts() {
        let record = subject.record("greeter", &[&text]);
        works_or_is_refused(&subject, &record, &record.name).await?;
    }
    let slashes = ["a/b", "a_b", "a-b", "a.b", "a b"];
    let mut accepted = Vec::new();
    for id in slashes {
        // Ids that a careless escape would make the same.
        if subject.register(&subject.record("escaped", &[id])).await.is_ok() {
            accepted.push(id);
        }
    }
    subject.until_nodes(&subject.name("escaped"), &accepted).await
}

pub(super) async fn names_that_differ_by_case_are_apart_or_refused_by_name(
    subject: RegistrySubject,
) -> Outcome {
    let lower = subject.record("greeter", &["lower"]);
    let upper = subject.record("GREETER", &["upper"]);
    subject.register(&lower).await?;
    works_or_is_refused(&subject, &upper, &upper.name).await?;
    subject.until_nodes(&lower.name, &["lower"]).await?;
    if subject.register(&upper).await.is_ok() {
        subject.until_nodes(&upper.name, &["upper"]).await?;
        let lower = found(subject.registry(), &lower.name).await?;
        let wanted: Vec<Node> = vec![subject.node("lower")];
        ensure_eq!(
            ids_of(&lower),
            [wanted[0].id.clone()],
            "the nodes of the name in lower case"
        );
    }
    Ok(())
}
