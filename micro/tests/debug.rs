//! What a service made from flags tells about itself: the lines it logged, and its health over plain HTTP.

#![cfg(feature = "log")]
#![allow(clippy::unwrap_used, reason = "tests")]

use micro::client::Method;
use micro::debug::{LogRequest, Record};
use micro::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_service_made_from_flags_shows_its_log_and_its_health() {
    let words = ["--registry=memory", "--server_address=127.0.0.1:0"];
    let settings = Arguments::new("greeter")
        .parse_from(words, [("", ""); 0])
        .unwrap();
    settings.start_log();
    let service = settings.service().await.unwrap().build().unwrap();
    let running = service.start().await.unwrap();
    let request = LogRequest::default();
    let method = Method::new("Debug.Log");
    let mut lines = running
        .client()
        .server_streaming::<_, Record>(&"greeter".into(), method, &request)
        .await
        .unwrap();
    let mut found = None;
    while let Some(line) = lines.message().await.unwrap() {
        if line.message.starts_with("listening on") {
            found = Some(line);
        }
    }
    let line = found.expect("the line with the address");
    assert_eq!(line.metadata["level"], "info");
    assert_eq!(line.metadata["service"], "greeter");
    assert!(line.metadata["target"].starts_with("micro_core"), "{line:?}");

    let mut connection = tokio::net::TcpStream::connect(running.address()).await.unwrap();
    let request = b"GET /health/ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    connection.write_all(request).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(r#""service":"greeter""#), "{answer}");
    running.stop().await.unwrap();
}
