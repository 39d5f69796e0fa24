//! What the registry is told of subscribers.

use super::*;
use crate::formats::Placed;

#[tokio::test]
async fn the_registry_is_told_of_subscribers_and_the_broker() {
    let house = House::http();
    let noop = |_: Context, _: u64| async { Ok(()) };
    let service = house
        .service("told")
        .handler(endpoint_fn("Told.Call", |_: Context, (): ()| async { Ok(()) }))
        .subscriber(subscriber_plain("alpha", noop).queue("q"))
        .subscriber(subscriber_plain("gamma", noop).named("Orders.Placed"))
        .subscriber(subscriber("beta", |_: Context, _: Placed| async { Ok(()) }));
    let service = start(service).await;
    let records = house.registry.get_service("told").await.unwrap();
    let record = &records[0];
    let endpoints: Vec<(&str, Option<&str>)> = record
        .endpoints
        .iter()
        .map(|endpoint| {
            (
                &*endpoint.name,
                endpoint.metadata.get("topic").map(|topic| &**topic),
            )
        })
        .collect();
    assert_eq!(
        endpoints,
        [
            ("Told.Call", None),
            ("Orders.Placed", Some("gamma")),
            ("Func", Some("beta")),
            ("Func", Some("alpha"))
        ]
    );
    for endpoint in &record.endpoints[1..] {
        assert_eq!(endpoint.metadata["subscriber"], "true");
        assert_eq!(endpoint.metadata.len(), 2);
        assert_eq!(endpoint.response, None);
        assert!(endpoint.request.is_some());
    }
    assert_eq!(record.nodes[0].metadata["broker"], "http");
    service.stop().await.unwrap();
    assert!(house.registry.get_service("told").await.is_err());
    within(async {
        while house.registry.get_service("micro.http.broker").await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_service_whose_topic_is_refused_does_not_start() {
    let house = House::http();
    let (subscriber, _) = noting();
    let service = house
        .service("refused")
        .subscriber(subscriber.queue("ff.http.broadcast"));
    let error = within(service.build().unwrap().start()).await.unwrap_err();
    assert!(error.detail().contains("orders"), "{error}");
    assert!(house.registry.get_service("refused").await.is_err());
}
