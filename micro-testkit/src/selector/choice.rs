//! Cases of what is chosen, and from what.

use std::collections::BTreeSet;
use std::sync::Arc;

use micro_core::registry::ServiceRecord;
use micro_core::selector::{Criteria, Filter};
use micro_core::{ErrorKind, Registry, Text};

use super::subject::{SERVICE, SelectorSubject, record};
use crate::suite::{Ending, Outcome, ensure, ensure_eq, needs};

pub(super) async fn a_service_that_nobody_runs_is_not_found(subject: SelectorSubject) -> Outcome {
    for _ in 0..2 {
        match subject.select().await {
            Ok(candidates) => {
                let count = candidates.len();
                return Err(Ending::failed(format!(
                    "{count} nodes of a service that nobody runs"
                )));
            }
            Err(error) => {
                ensure_eq!(error.kind(), ErrorKind::NotFound, "the kind of {error}");
                ensure!(
                    error.detail().contains(SERVICE),
                    "the error does not name the service: {error}"
                );
            }
        }
    }
    Ok(())
}

pub(super) async fn a_node_is_chosen_with_what_is_known_of_it(subject: SelectorSubject) -> Outcome {
    let mut registered = record(["a"]);
    registered.nodes[0].metadata.insert("zone".into(), "north".into());
    subject.register(&registered).await?;
    let candidate = subject.choose().await?;
    ensure_eq!(*candidate.node(), registered.nodes[0], "the node");
    ensure_eq!(candidate.version().as_str(), "1", "the version");
    Ok(())
}

pub(super) async fn nodes_that_come_and_go_are_followed(subject: SelectorSubject) -> Outcome {
    subject.register(&record(["a"])).await?;
    subject.until_nodes(&["a"]).await?;
    subject.register(&record(["b", "c"])).await?;
    subject.until_nodes(&["a", "b", "c"]).await?;
    subject.registry.deregister(&record(["a", "c"])).await?;
    subject.until_nodes(&["b"]).await?;
    let second = ServiceRecord {
        version: "2".into(),
        ..record(["d"])
    };
    subject.register(&second).await?;
    subject.until_nodes(&["b", "d"]).await
}

pub(super) async fn a_node_that_moves_is_followed(subject: SelectorSubject) -> Outcome {
    let mut moved = record(["a"]);
    subject.register(&moved).await?;
    subject.until_nodes(&["a"]).await?;
    moved.nodes[0].address = "127.0.0.1:9999".into();
    subject.register(&moved).await?;
    for _ in 0..500 {
        if subject.choose().await?.address() == &Text::from("127.0.0.1:9999") {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    Err(Ending::failed(
        "a node that moved is still chosen at its old address",
    ))
}

pub(super) async fn a_service_that_comes_back_is_found_again(subject: SelectorSubject) -> Outcome {
    for _ in 0..3 {
        subject.register(&record(["a"])).await?;
        subject.until_nodes(&["a"]).await?;
        subject.registry.deregister(&record(["a"])).await?;
        subject.until_nodes(&[]).await?;
    }
    Ok(())
}

pub(super) async fn further_attempts_get_other_nodes(subject: SelectorSubject) -> Outcome {
    let ids: Vec<String> = (0..20).map(|number| format!("{number:02}")).collect();
    subject.register(&record(ids.iter().map(String::as_str))).await?;
    for _ in 0..20 {
        let mut candidates = subject.select().await?;
        ensure_eq!(
            candidates.len(),
            ids.len(),
            "how many nodes there are to choose from"
        );
        let mut tried = BTreeSet::new();
        for attempt in 0..ids.len() {
            let node = candidates
                .next()
                .ok_or_else(|| Ending::failed(format!("no node for attempt {attempt}")))?;
            ensure!(
                tried.insert(node.id().to_string()),
                "attempt {attempt} got node {} again",
                node.id()
            );
        }
        ensure!(
            candidates.next().is_some(),
            "after all nodes were tried there is none to try again"
        );
    }
    Ok(())
}

pub(super) async fn a_node_is_the_same_candidate_in_every_answer(subject: SelectorSubject) -> Outcome {
    subject.register(&record(["a"])).await?;
    let first = subject.choose().await?;
    // What is known of a node outlives the coming and going of others.
    subject.register(&record(["a", "b"])).await?;
    subject.until_nodes(&["a", "b"]).await?;
    let mut again = subject.select().await?;
    let nodes: Vec<_> = (0..2).filter_map(|_| again.next()).collect();
    let same = nodes.iter().find(|node| node.id() == first.id());
    ensure!(
        same.is_some_and(|same| Arc::ptr_eq(same, &first)),
        "a node became another candidate while it was registered"
    );
    Ok(())
}

pub(super) async fn filters_leave_nodes_out(subject: SelectorSubject) -> Outcome {
    let mut north = record(["north"]);
    north.nodes[0].metadata.insert("zone".into(), "north".into());
    let second = ServiceRecord {
        version: "2".into(),
        ..record(["second"])
    };
    for record in [&north, &record(["plain"]), &second] {
        subject.register(record).await?;
    }
    subject.until_nodes(&["north", "plain", "second"]).await?;
    let custom = Filter::custom("by id", |_, node| node.id != "plain");
    let wanted: [(Filter, &[&str]); 4] = [
        (Filter::label("zone", "north"), &["north"]),
        (Filter::version("1"), &["north", "plain"]),
        (Filter::version("2"), &["second"]),
        (custom, &["north", "second"]),
    ];
    for (filter, ids) in wanted {
        let criteria = Criteria {
            filters: filter.clone().into(),
            key: None,
        };
        for _ in 0..2 {
            let found = subject.ids(&criteria).await?;
            ensure!(
                found.iter().map(String::as_str).eq(ids.iter().copied()),
                "{filter} left {found:?}, not {ids:?}"
            );
        }
    }
    subject.until_nodes(&["north", "plain", "second"]).await
}

pub(super) async fn filters_that_leave_none_are_told(subject: SelectorSubject) -> Outcome {
    subject.register(&record(["a"])).await?;
    subject.until_nodes(&["a"]).await?;
    let criteria = Criteria {
        filters: Filter::version("none-such").into(),
        key: None,
    };
    match subject.selector.select(SERVICE, &criteria).await {
        Ok(_) => Err(Ending::failed("a filter that no node passes left some")),
        Err(error) => {
            ensure_eq!(error.kind(), ErrorKind::Unavailable, "the kind of {error}");
            ensure!(
                error.detail().contains("none-such"),
                "the error does not name the filter: {error}"
            );
            Ok(())
        }
    }
}

pub(super) async fn calls_spread_over_the_nodes(subject: SelectorSubject) -> Outcome {
    needs!(subject.traits.spreads, "calls without a key go where they like");
    let ids = ["a", "b", "c", "d", "e", "f", "g", "h"];
    subject.register(&record(ids)).await?;
    subject.until_nodes(&ids).await?;
    let chosen = subject.first_choices(1000).await?;
    ensure_eq!(
        chosen.len(),
        ids.len(),
        "how many of the nodes 1,000 calls went to, {chosen:?}"
    );
    Ok(())
}

pub(super) async fn equal_keys_go_to_the_same_node(subject: SelectorSubject) -> Outcome {
    needs!(subject.traits.hashes, "keys do not matter to it");
    let ids = ["a", "b", "c", "d", "e", "f", "g", "h"];
    subject.register(&record(ids)).await?;
    subject.until_nodes(&ids).await?;
    let mut chosen = BTreeSet::new();
    for number in 0..200 {
        let criteria = Criteria {
            key: Some(format!("key-{number}").into()),
            ..Criteria::default()
        };
        let mut nodes = BTreeSet::new();
        for _ in 0..5 {
            let first = subject.selector.select(SERVICE, &criteria).await?.next();
            nodes.extend(first.map(|node| node.id().to_string()));
        }
        ensure_eq!(nodes.len(), 1, "how many nodes one key went to");
        chosen.extend(nodes);
    }
    ensure!(chosen.len() > ids.len() / 2, "200 keys went to {chosen:?} only");
    Ok(())
}

pub(super) async fn what_is_chosen_at_once_is_what_is_waited_for(subject: SelectorSubject) -> Outcome {
    let criteria = Criteria::default();
    ensure!(
        subject
            .selector
            .select_now("nobody", &criteria)
            .is_none_or(|candidates| candidates.is_empty()),
        "nodes of a service that nobody runs are at hand"
    );
    subject.register(&record(["a", "b"])).await?;
    subject.until_nodes(&["a", "b"]).await?;
    if let Some(mut candidates) = subject.selector.select_now(SERVICE, &criteria) {
        let at_once: BTreeSet<String> = (0..candidates.len())
            .filter_map(|_| candidates.next())
            .map(|node| node.id().to_string())
            .collect();
        ensure_eq!(
            at_once,
            subject.ids(&criteria).await?,
            "the nodes that are at hand"
        );
    }
    Ok(())
}

pub(super) async fn it_says_its_name(subject: SelectorSubject) -> Outcome {
    let name = subject.selector.name();
    let is_plain = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || "-_".contains(character)
    };
    ensure!(
        !name.is_empty() && name.chars().all(is_plain),
        "{name:?} is no name for a flag"
    );
    Ok(())
}
