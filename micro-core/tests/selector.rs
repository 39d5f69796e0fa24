//! Choosing nodes: strategies, filters, retries, and what happens to nodes that fail.
#![allow(clippy::unwrap_used, reason = "the helpers of tests, too")]

mod registries;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use micro_core::ErrorKind;
use micro_core::registry::{
    Endpoint, MemoryRegistry, Node, RegisterOptions, Registry, RegistryCache, RegistryCacheOptions,
    ServiceRecord,
};
use micro_core::selector::{
    Blacklist, CachedSelector, Candidate, Candidates, Criteria, Filter, Filters, Outcome, Picker, Selector,
    SelectorOptions, Strategy,
};
use registries::Moody;
use tokio::time::{advance, sleep};

const SERVICE: &str = "greeter";

fn node(number: usize) -> Node {
    Node::new(
        format!("greeter-{number}"),
        format!("127.0.0.1:{}", 1000 + number),
    )
}

fn service(nodes: impl IntoIterator<Item = usize>) -> ServiceRecord {
    ServiceRecord::new(SERVICE, "latest").with_nodes(nodes.into_iter().map(node).collect())
}

async fn register(registry: &MemoryRegistry, record: &ServiceRecord) {
    registry
        .register(record, RegisterOptions::default())
        .await
        .unwrap();
}

fn over(registry: Arc<dyn Registry>, strategy: &str) -> CachedSelector {
    let cache = RegistryCache::new(registry, RegistryCacheOptions::default());
    let strategy = <dyn Strategy>::named(strategy).unwrap();
    CachedSelector::new(Arc::new(cache), strategy, SelectorOptions::default())
}

async fn selector(strategy: &str, nodes: usize) -> (CachedSelector, MemoryRegistry) {
    let registry = MemoryRegistry::new();
    register(&registry, &service(0..nodes)).await;
    (over(Arc::new(registry.clone()), strategy), registry)
}

async fn candidates(selector: &CachedSelector, criteria: &Criteria) -> Candidates {
    selector.select(SERVICE, criteria).await.unwrap()
}

async fn first(selector: &CachedSelector) -> Arc<Candidate> {
    candidates(selector, &Criteria::default()).await.next().unwrap()
}

async fn counted(selector: &CachedSelector, calls: usize) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for _ in 0..calls {
        *counts.entry(first(selector).await.id().to_string()).or_default() += 1;
    }
    counts
}

async fn all(selector: &CachedSelector) -> Vec<Arc<Candidate>> {
    let mut candidates = candidates(selector, &Criteria::default()).await;
    (0..candidates.len())
        .map(|_| candidates.next().unwrap())
        .collect()
}

fn filtered(filter: Filter) -> Criteria {
    Criteria {
        filters: filter.into(),
        ..Criteria::default()
    }
}

fn keyed(key: usize) -> Criteria {
    Criteria {
        key: Some(format!("customer-{key}").into()),
        ..Criteria::default()
    }
}

async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

#[test]
fn strategies_have_the_names_of_the_flags() {
    for name in ["random", "roundrobin", "p2c", "hash"] {
        assert_eq!(<dyn Strategy>::named(name).unwrap().name(), name);
    }
    assert_eq!(<dyn Strategy>::named("round_robin").unwrap().name(), "roundrobin");
    assert!(<dyn Strategy>::named("best").is_none());
}

#[tokio::test(start_paused = true)]
async fn random_gives_every_node_its_share() {
    let (selector, _registry) = selector("random", 10).await;
    let counts = counted(&selector, 10_000).await;
    assert_eq!(counts.len(), 10);
    // Six standard deviations of a binomial distribution are 180.
    assert!(
        counts.values().all(|count| (800..1200).contains(count)),
        "{counts:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn round_robin_is_even() {
    let (selector, _registry) = selector("roundrobin", 7).await;
    let counts = counted(&selector, 700).await;
    assert!(
        counts.len() == 7 && counts.values().all(|count| *count == 100),
        "{counts:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn p2c_prefers_the_node_with_less_to_do() {
    let (selector, _registry) = selector("p2c", 2).await;
    let busy = first(&selector).await;
    let calls = [busy.start(), busy.start()];
    let counts = counted(&selector, 100).await;
    assert!(!counts.contains_key(&**busy.id()), "{counts:?}");
    drop(calls);
    assert_eq!(counted(&selector, 100).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn p2c_prefers_the_faster_node_and_gives_a_slow_one_another_chance() {
    let (selector, _registry) = selector("p2c", 2).await;
    let nodes = all(&selector).await;
    for (node, millis) in nodes.iter().zip([1, 50]) {
        let latency = Duration::from_millis(millis);
        selector.mark(SERVICE, node, Outcome::Success { latency });
    }
    assert_eq!(counted(&selector, 100).await.get(&**nodes[0].id()), Some(&100));
    advance(Duration::from_secs(60)).await;
    let latency = Duration::from_millis(1);
    selector.mark(SERVICE, &nodes[0], Outcome::Success { latency });
    assert!(
        counted(&selector, 10).await.contains_key(&**nodes[1].id()),
        "its peak has faded"
    );
}

#[tokio::test(start_paused = true)]
async fn equal_keys_go_to_the_same_node_and_shares_are_alike() {
    let (selector, _registry) = selector("hash", 20).await;
    let (twin, _other) = self::selector("hash", 20).await;
    let mut counts: HashMap<String, usize> = HashMap::new();
    for key in 0..4_000 {
        let node = candidates(&selector, &keyed(key)).await.next().unwrap();
        let same = candidates(&twin, &keyed(key)).await.next().unwrap();
        assert_eq!(node.id(), same.id(), "every process agrees");
        *counts.entry(node.id().to_string()).or_default() += 1;
    }
    assert!(
        counts.len() == 20 && counts.values().all(|count| (100..320).contains(count)),
        "{counts:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn one_node_more_among_a_hundred_takes_its_share_of_keys_and_moves_no_other() {
    let (selector, registry) = selector("hash", 99).await;
    let mut before = Vec::new();
    for key in 0..10_000 {
        before.push(candidates(&selector, &keyed(key)).await.next().unwrap());
    }
    register(&registry, &service([99])).await;
    settle().await;
    let mut moved = 0;
    for (key, before) in before.iter().enumerate() {
        let now = candidates(&selector, &keyed(key)).await.next().unwrap();
        if !Arc::ptr_eq(&now, before) {
            assert_eq!(*now.id(), "greeter-99");
            moved += 1;
        }
    }
    assert!((40..200).contains(&moved), "{moved} of 10000 keys moved");
}

#[tokio::test(start_paused = true)]
async fn keys_of_a_node_that_is_out_move_and_come_back() {
    let (selector, _registry) = selector("hash", 5).await;
    let home = candidates(&selector, &keyed(1)).await.next().unwrap();
    selector.mark(SERVICE, &home, Outcome::Unreachable);
    let away = candidates(&selector, &keyed(1)).await.next().unwrap();
    assert!(!Arc::ptr_eq(&home, &away));
    assert!(Arc::ptr_eq(
        &away,
        &candidates(&selector, &keyed(1)).await.next().unwrap()
    ));
    selector.reset(SERVICE);
    assert!(Arc::ptr_eq(
        &home,
        &candidates(&selector, &keyed(1)).await.next().unwrap()
    ));
}

#[tokio::test(start_paused = true)]
async fn each_further_attempt_gets_another_node_while_there_are_any() {
    for strategy in ["random", "roundrobin", "p2c", "hash"] {
        let (selector, _registry) = selector(strategy, 30).await;
        let mut candidates = candidates(&selector, &keyed(3)).await;
        for _ in 0..3 {
            let round: HashSet<_> = (0..30).map(|_| candidates.next().unwrap().id().clone()).collect();
            assert_eq!(round.len(), 30, "{strategy}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_nodes_can_be_walked() {
    let (selector, _registry) = selector("random", 10_000).await;
    let walked: HashSet<_> = all(&selector)
        .await
        .iter()
        .map(|node| node.id().clone())
        .collect();
    assert_eq!(walked.len(), 10_000);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_node_is_left_out_and_one_call_tries_it_again() {
    let (selector, _registry) = selector("roundrobin", 3).await;
    let bad = first(&selector).await;
    selector.mark(SERVICE, &bad, Outcome::Unreachable);
    assert!(bad.is_out());
    assert_eq!(counted(&selector, 300).await.len(), 2);
    advance(Duration::from_millis(100)).await;
    assert_eq!(
        counted(&selector, 300).await.get(&**bad.id()),
        Some(&1),
        "one probe"
    );
    advance(Duration::from_millis(150)).await;
    assert_eq!(
        counted(&selector, 300).await.len(),
        2,
        "the second time out is longer"
    );
    advance(Duration::from_millis(50)).await;
    assert_eq!(counted(&selector, 300).await.len(), 3);
    let latency = Duration::from_millis(1);
    selector.mark(SERVICE, &bad, Outcome::Success { latency });
    assert_eq!(
        counted(&selector, 300).await.get(&**bad.id()),
        Some(&100),
        "back for good"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_is_left_out_after_three_failures_in_a_row() {
    let (selector, _registry) = selector("random", 2).await;
    let bad = first(&selector).await;
    for _ in 0..2 {
        selector.mark(SERVICE, &bad, Outcome::Failed);
        selector.mark(SERVICE, &bad, Outcome::Ignored);
    }
    assert!(!bad.is_out());
    selector.mark(SERVICE, &bad, Outcome::Failed);
    assert!(!counted(&selector, 100).await.contains_key(&**bad.id()));
    selector.reset(SERVICE);
    assert_eq!(counted(&selector, 100).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn when_all_nodes_are_out_all_are_used() {
    for strategy in ["random", "roundrobin", "p2c", "hash"] {
        let (selector, _registry) = selector(strategy, 10).await;
        for node in all(&selector).await {
            selector.mark(SERVICE, &node, Outcome::Unreachable);
        }
        let mut seen = HashSet::new();
        for key in 0..1_000 {
            seen.insert(
                candidates(&selector, &keyed(key))
                    .await
                    .next()
                    .unwrap()
                    .id()
                    .clone(),
            );
        }
        assert_eq!(seen.len(), 10, "{strategy}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_well_is_found_among_many_that_are_out() {
    let (selector, _registry) = selector("random", 1_000).await;
    let nodes = all(&selector).await;
    for node in &nodes[1..] {
        selector.mark(SERVICE, node, Outcome::Unreachable);
    }
    for _ in 0..20 {
        assert!(Arc::ptr_eq(&first(&selector).await, &nodes[0]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_asks_at_most_one_dead_node_whether_it_is_back() {
    for strategy in ["random", "roundrobin", "p2c", "hash"] {
        let (selector, _registry) = selector(strategy, 30).await;
        let nodes = all(&selector).await;
        for node in &nodes[1..] {
            selector.mark(SERVICE, node, Outcome::Unreachable);
        }
        for call in 0..100 {
            // The times out of all are over.
            advance(Duration::from_secs(30)).await;
            let mut candidates = candidates(&selector, &keyed(call)).await;
            let (first, second) = (candidates.next().unwrap(), candidates.next().unwrap());
            assert!(
                Arc::ptr_eq(&first, &nodes[0]) || Arc::ptr_eq(&second, &nodes[0]),
                "{strategy}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_candidate_stays_the_same_while_its_node_is_registered() {
    let (selector, registry) = selector("random", 1).await;
    let before = first(&selector).await;
    before.set_peer(7, Arc::new("dialled"));
    selector.mark(SERVICE, &before, Outcome::Unreachable);
    let labelled = node(0).with_metadata("zone", "north");
    register(
        &registry,
        &ServiceRecord::new(SERVICE, "latest").with_nodes(vec![labelled]),
    )
    .await;
    settle().await;
    let after = first(&selector).await;
    assert!(Arc::ptr_eq(&before, &after) && after.is_out() && after.peer(7).is_some());
    assert_eq!(after.node().metadata["zone"], "north");
    let gone = Arc::downgrade(&before);
    drop((before, after));
    let moved = Node::new("greeter-0", "127.0.0.1:9");
    register(
        &registry,
        &ServiceRecord::new(SERVICE, "latest").with_nodes(vec![moved]),
    )
    .await;
    settle().await;
    assert_eq!(*first(&selector).await.address(), "127.0.0.1:9");
    assert!(gone.upgrade().is_none(), "what was dialled goes with the node");
}

#[tokio::test(start_paused = true)]
async fn candidates_stay_while_other_nodes_and_versions_come_and_go() {
    let (selector, registry) = selector("random", 50).await;
    let before = all(&selector).await;
    registry.deregister(&service((0..50).step_by(3))).await.unwrap();
    register(&registry, &service(50..80)).await;
    for version in ["a", "z"] {
        let twin = ServiceRecord::new(SERVICE, version).with_nodes(vec![node(1)]);
        register(&registry, &twin).await;
    }
    settle().await;
    let after = all(&selector).await;
    assert_eq!(after.len(), 33 + 30 + 2);
    for old in &before {
        let number: usize = old.id()["greeter-".len()..].parse().unwrap();
        let same = after.iter().filter(|new| Arc::ptr_eq(old, new)).count();
        assert_eq!(same, usize::from(!number.is_multiple_of(3)), "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_a_service_goes_when_nobody_asks_for_it() {
    let (selector, _registry) = selector("random", 1).await;
    let before = Arc::downgrade(&first(&selector).await);
    for _ in 0..30 {
        sleep(Duration::from_secs(60)).await;
        assert!(selector.select_now(SERVICE, &Criteria::default()).is_some());
    }
    assert!(before.upgrade().is_some());
    sleep(Duration::from_secs(800)).await;
    assert_eq!(selector.cache().followed(), 0);
    assert!(before.upgrade().is_none());
    first(&selector).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_selected_once_is_selected_without_waiting() {
    let (selector, registry) = selector("random", 1).await;
    assert!(selector.select_now(SERVICE, &Criteria::default()).is_none());
    first(&selector).await;
    register(&registry, &service([1, 2])).await;
    settle().await;
    let ready = selector.select_now(SERVICE, &Criteria::default()).unwrap();
    assert_eq!(ready.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn filters_leave_nodes_out_and_are_applied_once() {
    let (selector, registry) = selector("random", 10).await;
    let mut other = ServiceRecord::new(SERVICE, "2").with_nodes(vec![
        node(20)
            .with_metadata("zone", "north")
            .with_metadata("protocol", "mucp"),
        node(21).with_metadata("protocol", "grpc"),
    ]);
    other.endpoints.push(Endpoint {
        name: "Greeter.Hello".into(),
        ..Endpoint::default()
    });
    register(&registry, &other).await;
    let sizes = [
        (Filter::version("2"), 2),
        (Filter::version("latest"), 10),
        (Filter::endpoint("Greeter.Hello"), 2),
        (Filter::label("zone", "north"), 1),
        (Filter::transport("mucp", "http"), 11),
    ];
    for (filter, size) in sizes {
        assert_eq!(candidates(&selector, &filtered(filter)).await.len(), size);
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let custom = Filter::custom("the first one", move |_, node| {
        counter.fetch_add(1, SeqCst);
        node.id == "greeter-0"
    });
    for _ in 0..100 {
        let mut one = candidates(&selector, &filtered(custom.clone())).await;
        assert_eq!((one.len(), &**one.next().unwrap().id()), (1, "greeter-0"));
    }
    assert_eq!(asked.load(SeqCst), 12, "once a node");
}

#[tokio::test(start_paused = true)]
async fn only_so_many_filtered_views_are_kept() {
    let registry = MemoryRegistry::new();
    register(&registry, &service(0..2)).await;
    let cache = RegistryCache::new(Arc::new(registry), RegistryCacheOptions::default());
    let options = SelectorOptions {
        max_views: 2,
        blacklist: Blacklist::default(),
    };
    let strategy = <dyn Strategy>::named("random").unwrap();
    let selector = CachedSelector::new(Arc::new(cache), strategy, options);
    let asked = Arc::new(AtomicUsize::new(0));
    let custom = || {
        let asked = asked.clone();
        filtered(Filter::custom("any", move |_, _| {
            asked.fetch_add(1, SeqCst) < usize::MAX
        }))
    };
    let [one, two, three] = [custom(), custom(), custom()];
    for criteria in [&one, &two, &two, &one, &three, &two, &three, &one] {
        assert_eq!(candidates(&selector, criteria).await.len(), 2);
    }
    assert_eq!(
        asked.load(SeqCst),
        2 * 4,
        "one was dropped for three, and two for one"
    );
}

#[tokio::test(start_paused = true)]
async fn filters_that_leave_nothing_are_named_in_the_error() {
    let (selector, _registry) = selector("random", 3).await;
    let filters = Filters::from(Filter::version("9")).and(Filter::label("zone", "north"));
    let criteria = Criteria {
        filters,
        ..Criteria::default()
    };
    let error = selector.select(SERVICE, &criteria).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.detail().starts_with("service greeter: none available"),
        "{error}"
    );
    for part in ["3 nodes", "version 9", "label zone=north"] {
        assert!(error.detail().contains(part), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_service_is_not_found_until_it_comes() {
    let registry = MemoryRegistry::new();
    let selector = over(Arc::new(registry.clone()), "random");
    let error = selector.select(SERVICE, &Criteria::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.detail().starts_with("service greeter: not found"),
        "{error}"
    );
    register(&registry, &service([0])).await;
    settle().await;
    assert_eq!(*first(&selector).await.id(), "greeter-0");
}

#[tokio::test(start_paused = true)]
async fn selection_goes_on_while_the_registry_is_away() {
    let registry = Moody::new();
    registry.add("1", "a").await;
    let selector = over(registry.clone(), "random");
    assert_eq!(*first(&selector).await.id(), "a");
    registry.go_down();
    sleep(Duration::from_secs(300)).await;
    assert_eq!(*first(&selector).await.id(), "a");
    registry.come_back_empty().await;
    sleep(Duration::from_secs(15)).await;
    assert_eq!(*first(&selector).await.id(), "a");
    sleep(Duration::from_secs(90)).await;
    let gone = selector.select(SERVICE, &Criteria::default()).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn fixed_candidates_need_no_registry() {
    let nodes: Vec<_> = (0..3)
        .map(|number| Arc::new(Candidate::new(node(number), "")))
        .collect();
    let mut candidates = Candidates::fixed(nodes);
    let given: HashSet<_> = (0..3)
        .map(|_| candidates.next().unwrap().address().clone())
        .collect();
    assert_eq!(given.len(), 3);
    assert!(candidates.next().is_some());
    assert!(Candidates::fixed(Vec::new()).next().is_none());
}

/// A strategy of someone else's: always the last, and past the end.
struct Last;

impl Strategy for Last {
    fn name(&self) -> &str {
        "last"
    }

    fn prepare(&self, _: &[Arc<Candidate>]) -> Box<dyn Picker> {
        Box::new(Self)
    }
}

impl Picker for Last {
    fn pick(&self, nodes: &[Arc<Candidate>], _: Option<&str>, _: usize) -> usize {
        nodes.len()
    }
}

#[tokio::test(start_paused = true)]
async fn a_strategy_of_ones_own_is_used_and_cannot_break_the_selector() {
    let registry = MemoryRegistry::new();
    register(&registry, &service(0..3)).await;
    let cache = RegistryCache::new(Arc::new(registry), RegistryCacheOptions::default());
    let selector = CachedSelector::new(Arc::new(cache), Arc::new(Last), SelectorOptions::default());
    assert_eq!(selector.name(), "last");
    let mut candidates = candidates(&selector, &Criteria::default()).await;
    let given: Vec<_> = (0..3).map(|_| candidates.next().unwrap().id().clone()).collect();
    assert_eq!(given[0], "greeter-2");
    assert_eq!(given.iter().collect::<HashSet<_>>().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_find_nodes_while_nodes_come_and_go() {
    let (selector, registry) = selector("p2c", 5).await;
    let selector = Arc::new(selector);
    let calling = (0..4).map(|_| {
        let selector = selector.clone();
        tokio::spawn(async move {
            for round in 0..2_000 {
                let mut candidates = candidates(&selector, &Criteria::default()).await;
                for _ in 0..3 {
                    let candidate = candidates.next().unwrap();
                    let _call = candidate.start();
                    let latency = Duration::from_micros(50);
                    let failed = candidate.id().len() > "greeter-9".len();
                    let outcome = if failed {
                        Outcome::Unreachable
                    } else {
                        Outcome::Success { latency }
                    };
                    selector.mark(SERVICE, &candidate, outcome);
                }
                if round % 16 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        })
    });
    let calling: Vec<_> = calling.collect();
    for number in 10..210 {
        register(&registry, &service([number])).await;
        registry.deregister(&service([number - 5])).await.unwrap();
        tokio::task::yield_now().await;
    }
    for calls in calling {
        calls.await.unwrap();
    }
    assert!(all(&selector).await.iter().all(|node| node.in_flight() == 0));
}
