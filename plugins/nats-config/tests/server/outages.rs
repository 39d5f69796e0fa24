//! What is lived through.

use micro_config::{ErrorKind, Source, SourceState};
use micro_testkit::proxy::Proxy;

use crate::nats::{failure, follow, make, read, soon, source, start, until};

#[tokio::test]
async fn a_lost_connection_is_told_and_what_changed_meanwhile_is_seen_after() {
    let Some(server) = start().await else { return };
    let store = make(server.address(), "shop").await;
    store.put("a", r#"{"number": 1}"#).await;
    let mut proxy = Proxy::open(server.address()).await.unwrap();
    let config = follow(source(proxy.address(), "shop/a")).await;
    let mut watch = config.watch::<u8>("number");
    for (round, number) in (2..=4).enumerate() {
        match round {
            0 => proxy.cut().await,
            1 => proxy.hang_up().await.unwrap(),
            _ => proxy.silence(),
        }
        until(&config, |state| {
            state
                .error()
                .is_some_and(|error| error.kind() == ErrorKind::Unavailable)
        })
        .await;
        assert_eq!(config.get::<u8>("number").unwrap(), number - 1);
        store.put("a", format!(r#"{{"number": {number}}}"#)).await;
        proxy.mend().await.unwrap();
        assert_eq!(soon(watch.next()).await.unwrap().unwrap(), number);
        until(&config, |state| state.is_ready()).await;
    }
}

#[tokio::test]
async fn a_server_that_is_away_at_first_is_told_by_its_address_and_connected_to_later() {
    let Some(server) = start().await else { return };
    let store = make(server.address(), "shop").await;
    store.put("a", "{}").await;
    let mut proxy = Proxy::open(server.address()).await.unwrap();
    proxy.cut().await;
    let mut source = source(proxy.address(), "shop/a");
    let error = failure(&mut source).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(
        error.to_string().contains(&proxy.address().to_string()),
        "{error}"
    );
    proxy.mend().await.unwrap();
    read(&mut source).await;
    // Those that are still waiting are told too.
    proxy.cut().await;
    let error = soon(source.changed()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    proxy.mend().await.unwrap();
    soon(source.changed()).await.unwrap();
    read(&mut source).await;
}

#[tokio::test]
async fn a_silent_server_is_given_up_in_time() {
    let Some(server) = start().await else { return };
    let proxy = Proxy::open(server.address()).await.unwrap();
    proxy.silence();
    let error = failure(&mut source(proxy.address(), "shop/a")).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(
        error.to_string().contains(&proxy.address().to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn the_last_good_stays_when_the_server_goes_and_comes_back_with_its_data_or_without() {
    let Some(mut server) = start().await else { return };
    let address = server.address();
    make(address, "shop").await.put("a", r#"{"number": 1}"#).await;
    let config = follow(source(address, "shop/a")).await;
    let mut watch = config.watch::<u8>("number");

    server.kill().await.unwrap();
    until(&config, |state| state.error().is_some()).await;
    assert_eq!(config.get::<u8>("number").unwrap(), 1);
    server.start_again().await.unwrap();
    until(&config, |state| state.is_ready()).await;
    make(address, "shop").await.put("a", r#"{"number": 2}"#).await;
    assert_eq!(soon(watch.next()).await.unwrap().unwrap(), 2);

    server.start_empty().await.unwrap();
    until(&config, |state| {
        state
            .error()
            .is_some_and(|error| error.kind() == ErrorKind::Missing)
    })
    .await;
    assert_eq!(config.get::<u8>("number").unwrap(), 2);
    make(address, "shop").await.put("a", r#"{"number": 3}"#).await;
    assert_eq!(soon(watch.next()).await.unwrap().unwrap(), 3);
}

#[tokio::test]
async fn the_last_good_of_many_keys_stays_when_all_of_them_are_lost() {
    let Some(mut server) = start().await else { return };
    let address = server.address();
    let store = make(address, "shop").await;
    store.put("greeter.number", "1").await;
    let config = follow(source(address, "shop/greeter.>")).await;
    let mut watch = config.watch::<u8>("number");
    let is_missing = |state: &SourceState| {
        state
            .error()
            .is_some_and(|error| error.kind() == ErrorKind::Missing)
    };

    store.empty().await;
    // Nobody is told of that; any other news has it read.
    store.delete("greeter.other").await;
    until(&config, is_missing).await;
    assert_eq!(config.get::<u8>("number").unwrap(), 1);
    store.put("greeter.number", "2").await;
    assert_eq!(soon(watch.next()).await.unwrap().unwrap(), 2);
    until(&config, |state| state.is_ready()).await;

    server.start_empty().await.unwrap();
    // Whether the bucket is there or not by the time that it is looked for.
    let store = make(address, "shop").await;
    until(&config, is_missing).await;
    assert_eq!(config.get::<u8>("number").unwrap(), 2);
    store.put("greeter.number", "3").await;
    assert_eq!(soon(watch.next()).await.unwrap().unwrap(), 3);
}
