//! The log's last lines, and those that come.

use std::sync::Arc;

use micro_core::client::{CallOptions, Method};
use micro_core::debug::{Diagnostics, DiagnosticsOptions, LogRequest, RecentLog, Record};
use micro_core::handler::{Streaming, wrapper_fn};
use micro_core::{Client, Handler, Response, ServiceBuilder, Text};
use tokio::sync::Notify;

use crate::service::{builder, in_memory, start, within};

const LOG: Method = Method::new("Debug.Log").idempotent();

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
    let watch = wrapper_fn(move |request, next: Arc<dyn Handler>| {
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
