//! Faults that a real Consul cannot be made to show.

use std::time::Duration;

use micro_consul::ConsulRegistry;
use micro_core::ErrorKind;
use micro_core::registry::{Action, Registry};
use tokio::time::timeout;

use crate::consul::{PATIENCE, config, next};
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
