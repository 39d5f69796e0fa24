//! Faults that a real Consul cannot be made to show.

use std::time::Duration;

use micro_consul::ConsulRegistry;
use micro_core::ErrorKind;
use micro_core::registry::{Action, Registry};
use tokio::time::timeout;

use crate::consul::{LONG, PATIENCE, config, greeter, ids, next};
use crate::fake::{Fake, answer};

const ONE: &str = r#"[{"Node":{"Node":"n","Address":"192.0.2.1"},"Service":{"ID":"one","Service":"greeter","Port":1,"Tags":null},"Checks":null}]"#;
const TWO: &str = r#"[{"Service":{"ID":"two","Service":"greeter","Address":"192.0.2.2","Port":2}}]"#;

#[tokio::test]
async fn an_index_that_goes_backwards_is_begun_from_nothing() {
    let fake = Fake::start(|_, line| match line {
        line if line.contains("index=900&") => answer(7, TWO),
        line if line.contains("index=0&") => answer(8, ONE),
        line if line.contains("index=") => None,
        line if line.contains("greeter") => answer(900, ONE),
        _ => answer(900, "[]"),
    })
    .await;
    let registry = ConsulRegistry::connect(config(fake.address)).await.unwrap();
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    let mut told = Vec::new();
    for _ in 0..4 {
        let change = next(&mut watcher).await;
        told.push((change.action, change.service.nodes[0].address.clone()));
    }
    let told: Vec<_> = told
        .iter()
        .map(|(action, address)| (*action, address.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Action::Delete, "192.0.2.1:1"),
            (Action::Create, "192.0.2.2:2"),
            (Action::Delete, "192.0.2.2:2"),
            (Action::Create, "192.0.2.1:1"),
        ]
    );
}

#[tokio::test]
async fn a_consul_that_answers_at_once_is_not_asked_without_pause() {
    // Once with the same index for ever, once with another each time.
    let same = Fake::start(|_, _| answer(5, ONE)).await;
    let other = Fake::start(|number, _| answer(number as u64 + 1, ONE)).await;
    for (fake, most) in [(&same, 12), (&other, 30)] {
        let registry = ConsulRegistry::connect(config(fake.address)).await.unwrap();
        let mut watcher = registry.watch(Some("greeter")).await.unwrap();
        assert!(timeout(Duration::from_secs(1), watcher.next()).await.is_err());
        assert!(fake.asked() > 3, "{}", fake.asked());
        assert!(fake.asked() <= most, "{} requests in a second", fake.asked());
    }
}

#[tokio::test]
async fn garbage_is_an_error_that_says_whose() {
    let fakes = [
        Fake::start(|_, line| answer(1, if line.contains("/consul?") { "[]" } else { "<html>" })).await,
        Fake::start(|_, line| answer(1, if line.contains("/consul?") { "[]" } else { "[7]" })).await,
        Fake::start(|_, line| match line.contains("/consul?") {
            true => answer(1, "[]"),
            false => Some(("301 Moved\r\nlocation: /ui".to_owned(), String::new())),
        })
        .await,
        Fake::start(|_, line| match line.contains("/consul?") {
            true => answer(1, "[]"),
            false => Some(("500 Oh".to_owned(), "no\nleader ".repeat(100_000))),
        })
        .await,
    ];
    for fake in fakes {
        let registry = ConsulRegistry::connect(config(fake.address)).await.unwrap();
        for error in [
            registry.get_service("greeter").await.unwrap_err(),
            registry.watch(None).await.unwrap_err(),
            registry.list_services().await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(error.detail().contains(&fake.address.to_string()), "{error}");
            assert!(error.detail().len() < 1000, "{error}");
        }
    }
}

#[tokio::test]
async fn a_watch_without_an_index_is_refused() {
    let fake = Fake::start(|_, _| Some(("200 OK".to_owned(), "[]".to_owned()))).await;
    let registry = ConsulRegistry::connect(config(fake.address)).await.unwrap();
    let error = registry.watch(Some("greeter")).await.unwrap_err();
    assert!(error.detail().contains("no index"), "{error}");
    assert!(error.detail().contains("greeter"), "{error}");
}

#[tokio::test]
async fn a_silent_agent_is_not_waited_for_longer_than_the_timeout() {
    let fake = Fake::start(|_, _| None).await;
    let mut config = config(fake.address);
    config.request_timeout = Duration::from_millis(300);
    let connecting = timeout(PATIENCE, ConsulRegistry::connect(config)).await.unwrap();
    assert_eq!(connecting.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn entries_that_others_registered_in_odd_shapes_hide_nothing() {
    const ODD: &str = r#"[
        {"Node":{"Address":"192.0.2.1"},"Service":{"ID":"large","Service":"greeter","Port":70000}},
        {"Node":{"Address":"192.0.2.1"},"Service":{"ID":"negative","Service":"greeter","Port":-1,"Tags":null,"Meta":null}},
        {"Node":null,"Service":null,"Checks":null},
        {"Service":{"ID":"two","Service":"greeter","Address":"192.0.2.2","Port":2,"Proxy":null}}]"#;
    let fake = Fake::start(|_, line| match line {
        line if line.contains("index=") => None,
        line if line.contains("/consul?") => answer(1, "[]"),
        line if line.contains("/services") => answer(1, r#"{"greeter":null}"#),
        line if line.contains("/critical") => answer(1, r#"[{"ServiceName":"greeter","Status":"critical"}]"#),
        _ => answer(1, ODD),
    })
    .await;
    let registry = ConsulRegistry::connect(config(fake.address)).await.unwrap();
    for found in [
        registry.get_service("greeter").await.unwrap(),
        registry.list_services().await.unwrap(),
    ] {
        assert_eq!(ids(&found), ["two"]);
    }
    drop(registry.watch(None).await.unwrap());
}

#[tokio::test]
async fn critical_checks_that_concern_no_service_make_nobody_look_up() {
    // Each wait for checks ends with another index, as another dead agent's check makes it.
    let fake = Fake::start(|number, line| match line {
        line if line.contains("/critical") => answer(
            number as u64 + 1,
            r#"[{"Node":"dead","CheckID":"serfHealth","Status":"critical"}]"#,
        ),
        line if line.contains("index=") => None,
        line if line.contains("/services") => answer(1, r#"{"greeter":[]}"#),
        line if line.contains("/greeter") && number > 10 => Some(("500 Oh".to_owned(), "again".to_owned())),
        line if line.contains("/greeter") => answer(1, ONE),
        _ => answer(1, "[]"),
    })
    .await;
    let registry = ConsulRegistry::connect(config(fake.address)).await.unwrap();
    let mut watcher = registry.watch(None).await.unwrap();
    let told = timeout(Duration::from_secs(1), watcher.next()).await;
    assert!(told.is_err(), "it looked up again: {told:?}");
    assert!(fake.asked() > 12, "{}", fake.asked());
}

#[tokio::test]
async fn an_agent_that_answers_but_takes_nothing_is_left_for_the_next() {
    fn takes_nothing(_: usize, line: &str) -> Option<(String, String)> {
        match line {
            line if line.starts_with("PUT") => Some(("500 Oh".to_owned(), "no".to_owned())),
            line if line.contains("/agent/") => Some(("404 Not".to_owned(), "unknown".to_owned())),
            _ => answer(1, "[]"),
        }
    }
    fn takes_all(_: usize, line: &str) -> Option<(String, String)> {
        match line {
            line if line.starts_with("GET /v1/agent/") => Some(("404 Not".to_owned(), "unknown".to_owned())),
            _ => answer(1, "[]"),
        }
    }
    let (bad, good) = (Fake::start(takes_nothing).await, Fake::start(takes_all).await);
    let mut both = config(bad.address);
    both.agents.push(good.address.to_string());
    let registry = ConsulRegistry::connect(both).await.unwrap();
    registry.register(&greeter("a"), LONG).await.unwrap();
    let asked = bad.asked();
    registry.register(&greeter("a"), LONG).await.unwrap();
    assert_eq!(bad.asked(), asked, "it was left");
    // Where all fail, the last error is told.
    let registry = ConsulRegistry::connect(config(bad.address)).await.unwrap();
    let error = registry.register(&greeter("a"), LONG).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_timeout_that_never_ends_is_none() {
    let fake = Fake::start(|_, _| answer(1, ONE)).await;
    let mut config = config(fake.address);
    config.request_timeout = Duration::MAX;
    config.connect_timeout = Duration::MAX;
    config.watch_wait = Duration::MAX;
    let registry = ConsulRegistry::connect(config).await.unwrap();
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    assert!(timeout(Duration::from_millis(200), watcher.next()).await.is_err());
}
