//! Who is asked, who answers, and what is counted.

use bytes::Bytes;
use futures_util::stream;
use micro_core::codec::Codecs;
use micro_core::debug::{HealthRequest, HealthResponse, StatsRequest, StatsResponse};
use micro_core::handler::{Context, Endpoint, IntoEndpoints, endpoint_fn, handler_fn};
use micro_core::{Body, Error, Response};

use crate::service::{ask, builder, exchange, get, greet, hello, in_memory, start, within};

#[tokio::test]
async fn gos_bytes_ask_for_health_and_are_answered_as_go_answers() {
    let service = start(builder("interop.greeter")).await;
    for (content_type, framing, body) in [
        (
            "application/json",
            "Content-Length: 3\r\n\r\n{}\n",
            "{\"status\":\"ok\"}\n",
        ),
        (
            "application/protobuf",
            "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "\x0a\x02ok",
        ),
    ] {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: 127.0.0.1:9131\r\nUser-Agent: Go-http-client/1.1\r\nConnection: close\r\n\
             Accept: {content_type}\r\nContent-Type: {content_type}\r\nMicro-Endpoint: Debug.Health\r\n\
             Micro-Id: 0\r\nMicro-Method: Debug.Health\r\nMicro-Service: interop.greeter\r\n\
             Timeout: 5000000000\r\n{framing}"
        );
        let answer = exchange(service.address(), &request).await;
        let (head, answered) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Type: {content_type}")), "{head}");
        assert_eq!(answered, body);
    }
    service.stop().await.unwrap();
}

#[tokio::test]
async fn the_registry_is_not_told_of_them() {
    let service = start(in_memory("greeter").handler(hello())).await;
    let names: Vec<_> = service
        .record()
        .endpoints
        .iter()
        .map(|endpoint| &*endpoint.name)
        .collect();
    assert_eq!(names, ["Greeter.Hello"]);
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_handler_of_ones_own_takes_the_place_of_theirs() {
    let own = endpoint_fn("Debug.Health", |_: Context, (): ()| async {
        Ok("splendid".to_owned())
    });
    let service = start(in_memory("greeter").handler(own.into_endpoints(&Codecs::standard()))).await;
    let health: String = service
        .client()
        .call_plain("greeter", "Debug.Health", ())
        .await
        .unwrap();
    assert_eq!(health, "splendid");
    let stats: StatsResponse = ask(&service, "Debug.Stats", StatsRequest::default()).await;
    assert!(stats.started > 0, "the others are there");
    assert_eq!(
        service.record().endpoints.len(),
        1,
        "one's own is listed, unless it is internal"
    );
    service.stop().await.unwrap();
    let twice = in_memory("greeter").handler(hello()).handler(hello());
    assert!(twice.build().is_err(), "two of one's own collide all the same");
}

#[tokio::test]
async fn they_can_be_left_out() {
    let service = start(builder("greeter").handler(hello()).without_debug()).await;
    let request = HealthRequest::default();
    let health = service
        .client()
        .call::<_, HealthResponse>("greeter", "Debug.Health", &request)
        .await;
    assert_eq!(health.unwrap_err().code(), 404);
    let panicking = greet(service.client(), "World").await;
    assert_eq!(panicking.unwrap(), "Hello World");
    assert_eq!(service.diagnostics().stats().requests, 0);
    let (status, _) = get(service.address(), "/health").await;
    assert_eq!(status, 400, "a call that names no endpoint");
    service.stop().await.unwrap();
}

#[tokio::test]
async fn requests_and_errors_are_counted() {
    let fails = handler_fn(|_| async {
        let messages = [
            Ok(Bytes::from_static(b"x")),
            Err(Error::internal("greeter", "broken")),
        ];
        Ok(Response::new(Body::stream(stream::iter(messages))))
    });
    let panics = handler_fn(|request| async move {
        assert!(request.content_type.is_empty(), "on purpose");
        Ok(Response::default())
    });
    let breaks = handler_fn(|_| async {
        let messages = stream::poll_fn(|_| panic!("in the stream"));
        Ok(Response::new(Body::stream(messages)))
    });
    let greeter = in_memory("greeter")
        .handler(hello())
        .handler(Endpoint::new("Greeter.Fails", fails))
        .handler(Endpoint::new("Greeter.Panics", panics))
        .handler(Endpoint::new("Greeter.Breaks", breaks));
    let service = start(greeter).await;
    let client = service.client();
    for name in ["a", "b", ""] {
        let _ = greet(client, name).await;
    }
    let request = |endpoint: &'static str| micro_core::Request::new("greeter", endpoint, "");
    client.request(request("Greeter.Panics")).await.unwrap_err();
    client.request(request("Greeter.Nothing")).await.unwrap_err();
    for endpoint in ["Greeter.Fails", "Greeter.Breaks"] {
        let mut body = client.request(request(endpoint)).await.unwrap().body;
        while let Some(message) = within(body.message()).await {
            if let Err(error) = message {
                assert_eq!(error.code(), 500, "{error}");
            }
        }
    }
    let stats: StatsResponse = ask(&service, "Debug.Stats", StatsRequest::default()).await;
    assert_eq!((stats.requests, stats.errors), (7, 5), "{stats:?}");
    assert!(stats.threads > 0 && stats.timestamp >= stats.started, "{stats:?}");
    if cfg!(target_os = "linux") {
        assert!(stats.memory > 100_000, "{stats:?}");
    }
    service.stop().await.unwrap();
}
