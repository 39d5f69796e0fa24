//! Hundreds of services with thousands of nodes are listed and watched.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use micro::registry::{Action, Node, RegisterOptions, ServiceRecord};
use tokio::time::timeout;

use crate::network::{Network, PATIENCE, unique, until};

const MEMBERS: usize = 50;
const SERVICES_OF_EACH: usize = 10;

/// How many nodes each service has. A Consul agent compares all that it has at each registration: 5,000 take it two
/// minutes, whoever registers them. So they are fewer there unless `MICRO_LONG_JOURNEYS` is set.
fn nodes_of_each(registry: &str) -> usize {
    if registry == "consul" && std::env::var_os("MICRO_LONG_JOURNEYS").is_none() {
        2
    } else {
        10
    }
}

pub(crate) async fn many_services_are_listed_and_watched(registry: &str) {
    let network = Network::shared(registry).await;
    let node_count = nodes_of_each(registry);
    let run = unique("many");
    let here = network.registry().await;
    let mut watcher = here.watch(None).await.unwrap();
    let members = join_all((0..MEMBERS).map(|_| network.registry())).await;
    let options = RegisterOptions {
        ttl: Some(Duration::from_secs(300)),
    };
    let records: Vec<Vec<ServiceRecord>> = (0..MEMBERS)
        .map(|member| {
            let of_member = (0..SERVICES_OF_EACH)
                .map(|number| record(&run, member * SERVICES_OF_EACH + number, node_count));
            of_member.collect()
        })
        .collect();
    let registering = members.iter().zip(&records).map(|(member, records)| async move {
        for record in records {
            member.register(record, options).await.unwrap();
        }
    });
    join_all(registering).await;

    let all: BTreeSet<(String, String)> = records.iter().flatten().flat_map(keys).collect();
    assert_eq!(all.len(), MEMBERS * SERVICES_OF_EACH * node_count);
    let mut told = BTreeSet::new();
    let watched = timeout(PATIENCE, async {
        while told != all {
            let change = watcher.next().await.unwrap();
            if change.service.name.starts_with(&run) {
                assert_eq!(change.action, Action::Create, "{change:?}");
                told.extend(keys(&change.service));
            }
        }
    });
    assert!(
        watched.await.is_ok(),
        "the watcher told only of {} of {}",
        told.len(),
        all.len()
    );

    until("all are listed", || async {
        let listed = here.list_services().await.unwrap();
        let mine = listed.iter().filter(|record| record.name.starts_with(&run));
        mine.count() == MEMBERS * SERVICES_OF_EACH
    })
    .await;
    let one = &records[MEMBERS / 2][0];
    let found = here.get_service(&one.name).await.unwrap();
    assert_eq!(found[0].nodes.len(), node_count);

    let leaving = members.iter().zip(&records).map(|(member, records)| async move {
        for record in records {
            member.deregister(record).await.unwrap();
        }
    });
    join_all(leaving).await;
    let gone = timeout(PATIENCE, async {
        while !told.is_empty() {
            let change = watcher.next().await.unwrap();
            if change.action == Action::Delete {
                for key in keys(&change.service) {
                    told.remove(&key);
                }
            }
        }
    });
    assert!(
        gone.await.is_ok(),
        "the watcher does not know that {} are gone",
        told.len()
    );
}

fn record(run: &str, number: usize, node_count: usize) -> ServiceRecord {
    let name = format!("{run}-{number}");
    let nodes = (0..node_count).map(|node| {
        Node::new(format!("{name}-{node}"), format!("127.0.0.1:{}", 10_000 + node))
            .with_metadata("protocol", "mucp")
    });
    ServiceRecord::new(name.clone(), "latest").with_nodes(nodes.collect())
}

/// Service and node of each node of a record.
fn keys(record: &ServiceRecord) -> impl Iterator<Item = (String, String)> {
    let name = record.name.as_str().to_owned();
    record
        .nodes
        .iter()
        .map(move |node| (name.clone(), node.id.as_str().to_owned()))
}
