//! What a service tells about itself, over a transport in memory and as bytes over HTTP.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use micro_core::broker::MemoryBroker;
use micro_core::client::{CallOptions, Method};
use micro_core::codec::{Codecs, Message};
use micro_core::debug::{
    Diagnostics, DiagnosticsOptions, HealthRequest, HealthResponse, LogRequest, Readiness, RecentLog, Record,
    Span, SpanType, StatsRequest, StatsResponse, TraceRequest, TraceResponse,
};
use micro_core::handler::{Context, Endpoint, IntoEndpoints, Streaming, endpoint_fn, handler_fn};
use micro_core::registry::MemoryRegistry;
use micro_core::server::subscriber_plain;
use micro_core::service::RunningService;
use micro_core::transport::MemoryTransport;
use micro_core::{Body, Client, Error, Response, Result, Service, ServiceBuilder, Text};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const LOG: Method = Method::new("Debug.Log").idempotent();

/// Fails a test that hangs.
async fn within<F: Future>(future: F) -> F::Output {
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, future)
        .await
        .expect("done within 20 s")
}

fn builder(name: &str) -> ServiceBuilder {
    let mut builder = Service::builder(name).address("127.0.0.1:0");
    builder.options_mut().notice = Duration::from_millis(1);
    builder
}

fn in_memory(name: &str) -> ServiceBuilder {
    builder(name).transport(Arc::new(MemoryTransport::new()))
}

async fn start(builder: ServiceBuilder) -> RunningService {
    builder.build().unwrap().start().await.unwrap()
}

fn hello() -> impl IntoEndpoints + Send {
    endpoint_fn("Greeter.Hello", |_: Context, name: String| async move {
        match &*name {
            "" => Err(Error::conflict("greeter", "nobody to greet")),
            name => Ok(format!("Hello {name}")),
        }
    })
}

async fn greet(client: &Client, name: &str) -> Result<String> {
    client
        .call_plain("greeter", "Greeter.Hello", name.to_owned())
        .await
}

async fn ask<Req: Message, Resp: Message>(
    service: &RunningService,
    endpoint: &'static str,
    request: Req,
) -> Resp {
    let name = service.record().name.as_str();
    within(service.client().call(name, endpoint, &request))
        .await
        .unwrap()
}

async fn lines(client: &Client, request: LogRequest) -> Streaming<Record> {
    let service = Text::from_static("greeter");
    client.server_streaming(&service, LOG, &request).await.unwrap()
}

fn line(number: i64) -> Record {
    Record {
        timestamp: number,
        message: format!("line {number}"),
        ..Record::default()
    }
}

fn logging(log: &RecentLog) -> ServiceBuilder {
    let options = DiagnosticsOptions {
        log: log.clone(),
        ..DiagnosticsOptions::default()
    };
    in_memory("greeter").diagnostics(Diagnostics::new(options))
}

/// Sends bytes and returns all that comes until the other side closes.
async fn exchange(address: &str, request: &str) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    within(connection.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

async fn get(address: &str, path: &str) -> (u16, Value) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = exchange(address, &request).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

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

#[tokio::test]
async fn the_log_is_answered_with_what_is_asked_for() {
    let log = RecentLog::new();
    (1..=5).for_each(|number| log.push(line(number)));
    let service = start(logging(&log)).await;
    let json = service.client().with_options(CallOptions {
        content_type: Some("application/json".into()),
        ..CallOptions::default()
    });
    for client in [service.client(), &json] {
        for (count, since, expected) in [
            (0, 0, &[1, 2, 3, 4, 5][..]),
            (2, 0, &[4, 5]),
            (0, 3, &[3, 4, 5]),
            (1, 3, &[5]),
            (-1, -1, &[1, 2, 3, 4, 5]),
            (9, 99, &[]),
        ] {
            let request = LogRequest {
                count,
                since,
                ..LogRequest::default()
            };
            let mut stream = lines(client, request).await;
            let mut times = Vec::new();
            while let Some(line) = within(stream.message()).await.unwrap() {
                times.push(line.timestamp);
            }
            assert_eq!(times, expected, "count {count}, since {since}");
        }
    }
    service.stop().await.unwrap();
}

#[tokio::test]
async fn the_log_goes_on_with_new_lines_until_the_service_stops() {
    let log = RecentLog::new();
    log.push(line(1));
    let service = start(logging(&log)).await;
    let request = LogRequest {
        stream: true,
        ..LogRequest::default()
    };
    let mut stream = lines(service.client(), request).await;
    assert_eq!(within(stream.message()).await.unwrap(), Some(line(1)));
    log.push(line(2));
    assert_eq!(within(stream.message()).await.unwrap(), Some(line(2)));
    let client = service.client().clone();
    let (stopped, end) = within(async { tokio::join!(service.stop(), stream.message()) }).await;
    stopped.unwrap();
    assert_eq!(end.unwrap(), None, "well ended");
    drop(client);
}

#[tokio::test]
async fn a_slow_reader_learns_what_it_lost_and_slows_nobody() {
    let log = RecentLog::new();
    log.push(line(0));
    let service = start(logging(&log)).await;
    let request = LogRequest {
        stream: true,
        ..LogRequest::default()
    };
    let mut stream = lines(service.client(), request).await;
    within(stream.message()).await.unwrap().unwrap();
    // More than the log and all that lies between it and the reader hold.
    let last = 5_000;
    (1..=last).for_each(|number| log.push(line(number)));
    let (mut read, mut lost) = (0, 0);
    loop {
        let line = within(stream.message()).await.unwrap().unwrap();
        match line.metadata.get("lost") {
            Some(count) => lost += count.parse::<i64>().unwrap(),
            None => read += 1,
        }
        if line.timestamp == last {
            break;
        }
    }
    assert!(lost > 0);
    assert_eq!(read + lost, last);
    drop(stream);
    service.stop().await.unwrap();
}

/// How many tasks and streams hold the log, told by who holds what it is made of.
#[tokio::test]
async fn a_log_stream_that_is_dropped_frees_its_handler() {
    let log = RecentLog::new();
    log.push(line(1));
    // Over HTTP, where the far side must learn of it.
    let options = DiagnosticsOptions {
        log: log.clone(),
        ..DiagnosticsOptions::default()
    };
    let ended = Arc::new(Notify::new());
    let tell = ended.clone();
    let watch = micro_core::handler::wrapper_fn(move |request, next: Arc<dyn micro_core::Handler>| {
        let tell = tell.clone();
        async move {
            let response = next.handle(request).await?;
            Ok(Response {
                body: response.body.on_end(move |end| {
                    assert!(end.is_none(), "dropped before its end");
                    tell.notify_one();
                }),
                ..response
            })
        }
    });
    let service = start(
        builder("greeter")
            .diagnostics(Diagnostics::new(options))
            .wrap_server(watch),
    )
    .await;
    let request = LogRequest {
        stream: true,
        ..LogRequest::default()
    };
    let mut stream = lines(service.client(), request).await;
    assert_eq!(within(stream.message()).await.unwrap(), Some(line(1)));
    drop(stream);
    within(ended.notified()).await;
    within(service.stop()).await.unwrap();
}

/// A service that calls another within its own context.
async fn chain() -> (RunningService, RunningService) {
    let registry = Arc::new(MemoryRegistry::new());
    let transport = Arc::new(MemoryTransport::new());
    let quiet = || {
        Diagnostics::new(DiagnosticsOptions {
            traces_per_second: 0,
            ..DiagnosticsOptions::default()
        })
    };
    let there = |builder: ServiceBuilder| builder.registry(registry.clone()).transport(transport.clone());
    let last = endpoint_fn("Last.Call", |context: Context, (): ()| async move {
        let metadata = context.metadata();
        let value = |name: &str| metadata.get(name).unwrap_or_default().to_owned();
        Ok((value("traceparent"), value("tracestate"), value("tenant")))
    });
    let last = start(there(builder("last")).diagnostics(quiet()).handler(last)).await;
    let client = last.client().clone();
    let first = endpoint_fn("First.Call", move |context: Context, (): ()| {
        let client = client.within(&context);
        async move {
            client
                .call_plain::<(), (String, String, String)>("last", "Last.Call", ())
                .await
        }
    });
    let first = start(there(builder("first")).diagnostics(quiet()).handler(first)).await;
    (first, last)
}

async fn call_first(first: &RunningService, traceparent: &'static str) -> (String, String, String) {
    let client = first.client().with_options(CallOptions {
        metadata: [
            ("Traceparent", traceparent),
            ("Tracestate", "vendor=1"),
            ("Tenant", "acme"),
        ]
        .into(),
        ..CallOptions::default()
    });
    within(client.call_plain("first", "First.Call", ()))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_trace_goes_on_through_a_service_and_is_recorded_at_each() {
    let (first, last) = chain().await;
    let (traceparent, tracestate, tenant) = call_first(&first, TRACEPARENT).await;
    assert!(
        traceparent.starts_with(&format!("00-{TRACE}-")) && traceparent.ends_with("-01"),
        "{traceparent}"
    );
    assert_eq!((&*tracestate, &*tenant), ("vendor=1", "acme"));
    let trace = TraceRequest { id: TRACE.into() };
    let TraceResponse { spans } = ask(&first, "Debug.Trace", trace.clone()).await;
    let [outbound, inbound]: &[Span; 2] = spans.as_slice().try_into().unwrap();
    assert_eq!(
        (&*inbound.parent, &*inbound.name),
        ("b7ad6b7169203331", "First.Call")
    );
    assert_eq!((&outbound.parent, &*outbound.name), (&inbound.id, "Last.Call"));
    assert_eq!(outbound.span_type, i32::from(SpanType::Outbound));
    assert_eq!(outbound.metadata["service"], "last");
    assert!(inbound.duration >= outbound.duration && outbound.duration > 0);
    assert!(
        traceparent.contains(&outbound.id),
        "the next one's parent is the outgoing span"
    );
    let name = last.record().name.clone();
    let spans: TraceResponse = last.client().call(name, "Debug.Trace", &trace).await.unwrap();
    assert_eq!(spans.spans.len(), 1);
    assert_eq!(spans.spans[0].parent, outbound.id);
    let other = TraceRequest { id: "0".repeat(32) };
    let none: TraceResponse = ask(&first, "Debug.Trace", other).await;
    assert!(none.spans.is_empty());
    first.stop().await.unwrap();
    last.stop().await.unwrap();
}

#[tokio::test]
async fn a_trace_that_is_not_recorded_goes_on_all_the_same_and_a_malformed_one_ends() {
    let (first, last) = chain().await;
    let unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let (traceparent, tracestate, _) = call_first(&first, unsampled).await;
    assert!(traceparent.starts_with(&format!("00-{TRACE}-")) && traceparent.ends_with("-00"));
    assert!(!traceparent.contains("b7ad6b7169203331"), "from a new span on");
    assert_eq!(tracestate, "vendor=1");
    let (traceparent, tracestate, tenant) = call_first(&first, "00-0AF7-01").await;
    assert_eq!((&*traceparent, &*tracestate, &*tenant), ("", "", "acme"));
    let all: TraceResponse = ask(&first, "Debug.Trace", TraceRequest::default()).await;
    assert!(all.spans.is_empty(), "{all:?}");
    first.stop().await.unwrap();
    last.stop().await.unwrap();
}

#[tokio::test]
async fn an_event_carries_the_trace_on_to_who_handles_it() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let handle = subscriber_plain("orders.placed", move |context: Context, (): ()| {
        let tell = tell.clone();
        async move {
            let trace = context.trace().map(|trace| trace.trace_id());
            tell.send(trace).await.unwrap();
            Ok(())
        }
    });
    let greeter = in_memory("greeter")
        .broker(Arc::new(MemoryBroker::new()))
        .subscriber(handle)
        .handler(hello());
    let service = start(greeter).await;
    let sent = service.client().with_options(CallOptions {
        metadata: [("traceparent", TRACEPARENT)].into(),
        ..CallOptions::default()
    });
    sent.publish_plain("orders.placed", ()).await.unwrap();
    assert_eq!(within(told.recv()).await.unwrap().as_deref(), Some(TRACE));
    // Handling ends after it has told.
    let spans = within(async {
        loop {
            let spans = service.diagnostics().spans(TRACE);
            if !spans.is_empty() {
                return spans;
            }
            tokio::task::yield_now().await;
        }
    });
    let spans = spans.await;
    assert_eq!(
        (&*spans[0].name, &*spans[0].parent),
        ("orders.placed", "b7ad6b7169203331")
    );
    assert_eq!(
        service.diagnostics().stats().requests,
        0,
        "an event is no request"
    );
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_few_calls_begin_a_trace_and_failures_are_noted() {
    let service = start(in_memory("greeter").handler(hello())).await;
    for _ in 0..500 {
        greet(service.client(), "World").await.unwrap();
    }
    greet(service.client(), "").await.unwrap_err();
    let TraceResponse { spans } = ask(&service, "Debug.Trace", TraceRequest::default()).await;
    let failed: Vec<_> = spans
        .iter()
        .filter(|span| span.metadata.contains_key("error"))
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (&*failed[0].metadata["code"], &*failed[0].metadata["error"]),
        ("409", "nobody to greet")
    );
    assert!((10..500).contains(&spans.len()), "{}", spans.len());
    assert!(spans[0].parent.is_empty() && spans[0].trace.len() == 32 && spans[0].duration > 0);
    service.stop().await.unwrap();
}

#[tokio::test]
async fn readiness_goes_from_starting_over_serving_to_draining() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let diagnostics = Diagnostics::default();
    let note = |place: &'static str| {
        let (seen, diagnostics) = (seen.clone(), diagnostics.clone());
        move || async move {
            seen.lock().unwrap().push((place, diagnostics.readiness()));
            Ok(())
        }
    };
    let greeter = in_memory("greeter")
        .diagnostics(diagnostics.clone())
        .before_start(note("before start"))
        .after_start(note("after start"))
        .before_stop(note("before stop"));
    let service = start(greeter).await;
    assert_eq!(service.readiness(), Readiness::Serving);
    let health: HealthResponse = ask(&service, "Debug.Health", HealthRequest::default()).await;
    assert_eq!(health.status, "ok");
    service.stop().await.unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        [
            ("before start", Readiness::Starting),
            ("after start", Readiness::Serving),
            ("before stop", Readiness::Draining),
        ]
    );
    assert_eq!(diagnostics.readiness().status(), "draining");
}

#[tokio::test]
async fn health_is_served_over_plain_http_beside_calls() {
    let database = Arc::new(std::sync::Mutex::new(Ok(())));
    let asked = database.clone();
    let greeter = builder("greeter")
        .version("1.2")
        .handler(hello())
        .health_check("database", move || {
            let state = *asked.lock().unwrap();
            async move { state.map_err(|text: &str| Error::unavailable("greeter", text)) }
        });
    let service = start(greeter).await;
    for path in ["/health", "/health/ready", "/health/live"] {
        let (status, report) = get(service.address(), path).await;
        assert_eq!((status, &report["status"]), (200, &"up".into()), "{report}");
        assert_eq!(report["info"]["service"], "greeter");
        assert_eq!(report["info"]["version"], "1.2");
    }
    *database.lock().unwrap() = Err("gone away");
    for (path, expected) in [("/health", 503), ("/health/ready", 503), ("/health/live", 200)] {
        let (status, report) = get(service.address(), path).await;
        assert_eq!(status, expected, "{report}");
        if expected == 503 {
            assert_eq!(
                (&report["status"], &report["checks"][0]["status"]),
                (&"down".into(), &"up".into())
            );
            let check = &report["checks"][1];
            assert_eq!(
                (&check["name"], &check["status"]),
                (&"database".into(), &"down".into())
            );
            assert!(check["error"].as_str().unwrap().contains("gone away"), "{check}");
        }
    }
    assert_eq!(get(service.address(), "/health/else").await.0, 404);
    let post = "POST /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert!(exchange(service.address(), post).await.contains(" 405 "));
    assert_eq!(greet(service.client(), "World").await.unwrap(), "Hello World");
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_service_that_drains_is_not_ready_but_lives() {
    let (draining, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let signals = (draining.clone(), go_on.clone());
    let greeter = builder("greeter").before_stop(move || async move {
        signals.0.notify_one();
        signals.1.notified().await;
        Ok(())
    });
    let service = start(greeter).await;
    let address = service.address().to_owned();
    let stop = tokio::spawn(service.stop());
    within(draining.notified()).await;
    let (status, report) = get(&address, "/health/ready").await;
    assert_eq!(status, 503);
    assert_eq!(report["checks"][0]["error"], "the service is draining");
    assert_eq!(report["info"]["readiness"], "draining");
    assert_eq!(get(&address, "/health/live").await.0, 200);
    go_on.notify_one();
    within(stop).await.unwrap().unwrap();
}
