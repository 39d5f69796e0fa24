//! The way of an event out of a service.

use super::*;

#[tokio::test]
async fn wrappers_stand_around_events_where_they_are_put() {
    let house = House::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = |place: &'static str| {
        let seen = seen.clone();
        wrapper_fn(move |request: Request, next: Arc<dyn Handler>| {
            let topic = request.metadata.get("Micro-Topic").unwrap_or_default();
            seen.lock()
                .unwrap()
                .push(format!("{place} {} {topic}", request.endpoint));
            async move { next.handle(request).await }
        })
    };
    let sign = wrapper_fn(|mut request: Request, next: Arc<dyn Handler>| {
        request.metadata.insert("Signed", "yes");
        async move { next.handle(request).await }
    });
    let (noted, mut events) = mpsc::channel(4096);
    let handler = move |context: Context, _: u64| {
        let _ = noted.try_send(context.metadata().get("Signed").map(str::to_owned));
        async { Ok(()) }
    };
    let subscriber = subscriber_plain("orders", handler)
        .wrap(note("own 1"))
        .wrap(note("own 2"));
    let service = house
        .service("wrapped")
        .subscriber(subscriber)
        .wrap_subscribers(note("all 1"))
        .wrap_subscribers(note("all 2"))
        .wrap_server(note("server"))
        .wrap_call(note("call"))
        .wrap_attempt(note("attempt"))
        .wrap_publish(note("publish 1"))
        .wrap_publish(sign)
        .wrap_publish(note("publish 2"));
    let service = start(service).await;
    within(service.client().publish_plain("orders", 1_u64))
        .await
        .unwrap();
    assert_eq!(within(events.recv()).await.unwrap().as_deref(), Some("yes"));
    service.stop().await.unwrap();
    let places = ["publish 1", "publish 2", "all 1", "all 2", "own 1", "own 2"];
    let places = places.map(|place| format!("{place} orders orders"));
    assert_eq!(*seen.lock().unwrap(), places);
}

#[tokio::test]
async fn a_wrapper_that_refuses_keeps_an_event_from_going_out() {
    let house = House::new();
    let (subscriber, mut events) = noting();
    let refuse = wrapper_fn(|_: Request, _: Arc<dyn Handler>| async {
        Err::<Response, _>(Error::forbidden("test", "not today"))
    });
    let service = start(
        house
            .service("refusing")
            .subscriber(subscriber)
            .wrap_publish(refuse),
    )
    .await;
    let error = within(service.client().publish_plain("orders", 1_u64))
        .await
        .unwrap_err();
    assert_eq!(error.detail(), "not today");
    service.stop().await.unwrap();
    assert!(events.recv().await.is_none());
}

#[tokio::test]
async fn what_an_event_carries_goes_on_with_calls_but_not_its_topic() {
    let house = House::new();
    let names = ["Tenant", "Micro-Topic", "Micro-Id", "Content-Type"];
    let callee = house.service("callee").handler(endpoint_fn(
        "Callee.Metadata",
        move |context: Context, (): ()| async move {
            let found = names.map(|name| context.metadata().get(name).map(str::to_owned));
            Ok((found.to_vec(), context.remaining().is_some()))
        },
    ));
    // That it is subscribed too would make an event of a call that carries a topic.
    let (subscriber, mut notes) = noting();
    let callee = start(callee.subscriber(subscriber)).await;
    type Answer = (Vec<Option<String>>, bool);
    let (noted, mut events) = mpsc::channel(4096);
    let client = house.client();
    let handler = move |context: Context, _: u64| {
        let (client, noted) = (client.within(&context), noted.clone());
        async move {
            let answer: Answer = client.call_plain("callee", "Callee.Metadata", ()).await?;
            client.publish_plain("invoices", 7_u64).await?;
            let _ = noted.try_send((answer, context.remaining()));
            Ok(())
        }
    };
    let service = house.subscribed(subscriber_plain("prices", handler)).await;
    let (noted_invoice, mut invoices) = mpsc::channel(4096);
    let billing = house
        .subscribed(subscriber_plain("invoices", move |context: Context, _: u64| {
            let metadata = context.metadata();
            let header = |name| metadata.get(name).map(str::to_owned);
            let _ = noted_invoice.try_send((header("Tenant"), header("Micro-Topic"), header("Micro-Id")));
            async { Ok(()) }
        }))
        .await;
    let options = CallOptions {
        metadata: [("Tenant", "acme")].into(),
        timeout: Some(Duration::from_secs(5)),
        ..CallOptions::default()
    };
    within(
        house
            .client()
            .with_options(options)
            .publish_plain("prices", 1_u64),
    )
    .await
    .unwrap();
    let ((metadata, has_deadline), remaining) = within(events.recv()).await.unwrap();
    assert_eq!(metadata[0].as_deref(), Some("acme"));
    assert_eq!(metadata[1], None, "the topic ends with the event");
    assert!(has_deadline, "a call has the client's");
    assert_eq!(remaining, None, "events have no deadline: publishing had one");
    let (tenant, topic, id) = within(invoices.recv()).await.unwrap();
    assert_eq!(tenant.as_deref(), Some("acme"));
    assert_eq!(topic.as_deref(), Some("invoices"));
    assert_eq!(id.map(|id| id.len()), Some(36), "an id of its own");
    for service in [service, billing, callee] {
        service.stop().await.unwrap();
    }
    assert!(notes.recv().await.is_none(), "no call was taken for an event");
}

#[tokio::test]
async fn an_exchange_is_where_an_event_goes() {
    let house = House::new();
    let (noted, mut events) = mpsc::channel(4096);
    let service = house
        .subscribed(subscriber_plain("everything", move |context: Context, _: u64| {
            let topic = context.metadata().get("Micro-Topic").map(str::to_owned);
            let _ = noted.try_send((topic, context.endpoint().to_owned()));
            async { Ok(()) }
        }))
        .await;
    let options = CallOptions {
        exchange: Some("everything".into()),
        ..CallOptions::default()
    };
    let client = house.client().with_options(options);
    within(client.publish_plain("orders", 1_u64)).await.unwrap();
    let (topic, endpoint) = within(events.recv()).await.unwrap();
    assert_eq!((topic.as_deref(), &*endpoint), (Some("orders"), "everything"));
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn publishing_within_a_deadline_gives_up_when_it_is_over() {
    let house = House::new();
    let stuck = handler_fn(|_| std::future::pending());
    let service = house.subscribed(Subscriber::new("orders", stuck)).await;
    let options = CallOptions {
        timeout: Some(Duration::from_secs(3)),
        ..CallOptions::default()
    };
    let client = house.client().with_options(options);
    let error = loop {
        // The queue of a subscriber that never handles anything is full one day.
        if let Err(error) = client.publish_plain("orders", 1_u64).await {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(
        error.detail().contains("orders") && error.detail().contains("memory"),
        "{error}"
    );
    drop(service);
}
