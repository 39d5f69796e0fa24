//! What becomes of events when a service stops.

use super::*;

#[tokio::test]
async fn a_queue_loses_nothing_when_one_of_its_services_stops_under_load() {
    for house in [House::new(), House::http()] {
        let handled = Arc::new(Mutex::new(Vec::new()));
        let member = || {
            let handled = handled.clone();
            let handler = move |_: Context, number: u64| {
                let handled = handled.clone();
                async move {
                    tokio::task::yield_now().await;
                    handled.lock().unwrap().push(number);
                    Ok(())
                }
            };
            subscriber_plain("orders", handler)
                .queue("workers")
                .concurrency(4)
        };
        let (leaving, staying) = (house.subscribed(member()).await, house.subscribed(member()).await);
        let stop = Arc::new(AtomicBool::new(false));
        let load = |publisher: u64| {
            let (client, stop) = (house.client(), stop.clone());
            tokio::spawn(async move {
                let mut published = Vec::new();
                while !stop.load(SeqCst) {
                    let number = publisher * 1_000_000 + published.len() as u64;
                    client.publish_plain("orders", number).await.unwrap();
                    published.push(number);
                    tokio::task::yield_now().await;
                }
                published
            })
        };
        let publishers: Vec<_> = (0..4).map(load).collect();
        let until = async |count: usize| {
            within(async {
                while handled.lock().unwrap().len() < count {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        };
        until(50).await;
        within(leaving.stop()).await.unwrap();
        let count = handled.lock().unwrap().len();
        until(count + 50).await;
        stop.store(true, SeqCst);
        let mut published = Vec::new();
        for publisher in publishers {
            published.extend(within(publisher).await.unwrap());
        }
        within(house.broker.flush()).await.unwrap();
        within(staying.stop()).await.unwrap();
        let handled = handled.lock().unwrap();
        let distinct: BTreeSet<u64> = handled.iter().copied().collect();
        assert_eq!(distinct, BTreeSet::from_iter(published), "all, and nothing else");
        assert_eq!(handled.len(), distinct.len(), "each once");
    }
}

#[tokio::test]
async fn a_stopping_service_handles_what_has_arrived() {
    let house = House::new();
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begin, go) = (begun.clone(), go_on.clone());
    let handled = Arc::new(AtomicUsize::new(0));
    let count = handled.clone();
    let handler = move |_: Context, number: u64| {
        let (begin, go, count) = (begin.clone(), go.clone(), count.clone());
        async move {
            if number == 0 {
                begin.notify_one();
                go.notified().await;
            }
            count.fetch_add(1, SeqCst);
            Ok(())
        }
    };
    let service = house.subscribed(subscriber_plain("orders", handler)).await;
    for number in 0..5 {
        house.publish(number).await;
    }
    within(begun.notified()).await;
    let stopping = tokio::spawn(service.stop());
    tokio::task::yield_now().await;
    go_on.notify_one();
    within(stopping).await.unwrap().unwrap();
    assert_eq!(handled.load(SeqCst), 5);
}

#[tokio::test]
async fn the_grace_cuts_off_a_handler_that_hangs_and_its_event_goes_to_another() {
    for house in [House::new(), House::http()] {
        let begun = Arc::new(Notify::new());
        let begin = begun.clone();
        let hangs = handler_fn(move |_| {
            begin.notify_one();
            std::future::pending()
        });
        let mut service = house
            .service("hanging")
            .subscriber(Subscriber::new("orders", hangs).queue("workers"));
        service.options_mut().grace = Duration::from_millis(300);
        let hanging = start(service).await;
        let publishing = tokio::spawn({
            let client = house.client();
            async move { client.publish_plain("orders", 7_u64).await }
        });
        within(begun.notified()).await;
        let (sound, mut events) = noting();
        let sound = house.subscribed(sound.queue("workers")).await;
        let stopping = tokio::spawn(hanging.stop());
        assert_eq!(within(events.recv()).await, Some(7));
        within(stopping).await.unwrap().unwrap();
        within(publishing).await.unwrap().unwrap();
        within(sound.stop()).await.unwrap();
    }
}

/// So that publishers stop sending to it, although it does not ask for events.
#[tokio::test]
async fn a_busy_subscription_leaves_the_registry_when_its_service_begins_to_stop() {
    let house = House::http();
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begin, go) = (begun.clone(), go_on.clone());
    let handler = handler_fn(move |_| {
        let (begin, go) = (begin.clone(), go.clone());
        async move {
            begin.notify_one();
            go.notified().await;
            Ok(Response::default())
        }
    });
    let service = house.subscribed(Subscriber::new("orders", handler)).await;
    let client = house.client();
    let publishing = tokio::spawn(async move { client.publish_plain("orders", 7_u64).await });
    within(begun.notified()).await;
    let stopping = tokio::spawn(service.stop());
    within(async {
        while house.registry.get_service("micro.http.broker").await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!stopping.is_finished(), "its event is still being handled");
    go_on.notify_one();
    within(stopping).await.unwrap().unwrap();
    within(publishing).await.unwrap().unwrap();
}
