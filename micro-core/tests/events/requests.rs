//! Events that come to a service as requests.

use super::*;

async fn posted(address: &str, topic: &str, content_type: &str, body: &str) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {content_type}\r\n\
         Micro-Topic: {topic}\r\nMicro-Id: 7\r\nTenant: acme\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(connection.read_to_string(&mut answer)).await.unwrap();
    answer
}

/// As older publishers of Go Micro send events: as requests to the server.
#[tokio::test]
async fn events_that_come_as_requests_are_handled_by_all_who_subscribed() {
    let mut house = House::new();
    house.transport = Arc::new(HttpTransport::new(HttpConfig::default()).unwrap());
    let (first, mut one) = noting();
    let (noted, mut other) = mpsc::channel(4096);
    let second = subscriber_plain("orders", move |context: Context, number: u64| {
        let _ = noted.try_send((
            number,
            context.endpoint().to_owned(),
            context.metadata().get("Tenant").map(str::to_owned),
        ));
        async move {
            match number {
                13 => Err(Error::conflict("orders", "unlucky")),
                _ => Ok(()),
            }
        }
    });
    let service = house
        .service("both")
        .subscriber(first)
        .subscriber(second.queue("q"));
    let service = start(service).await;
    let address = service.address().to_owned();

    let answer = posted(&address, "orders", "application/json", "7").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "an empty body: {answer}");
    assert!(!answer.contains("Micro-Error"), "{answer}");
    assert_eq!(within(one.recv()).await, Some(7));
    let (number, endpoint, tenant) = within(other.recv()).await.unwrap();
    assert_eq!(
        (number, &*endpoint, tenant.as_deref()),
        (7, "orders", Some("acme"))
    );

    let answer = posted(&address, "orders", "application/json", "13").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("Micro-Error: {"), "{answer}");
    assert!(answer.contains("unlucky"), "{answer}");
    assert_eq!(
        within(one.recv()).await,
        Some(13),
        "the others have it all the same"
    );
    within(other.recv()).await.unwrap();

    let answer = posted(&address, "orders", "application/json", "no number").await;
    assert!(
        answer.contains("Micro-Error: {") && answer.contains("orders"),
        "{answer}"
    );
    let answer = posted(&address, "elsewhere", "application/json", "7").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(!answer.contains("Micro-Error"), "nobody is no failure: {answer}");
    assert!(one.try_recv().is_err() && other.try_recv().is_err());
    service.stop().await.unwrap();
}
