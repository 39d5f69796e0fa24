//! Streams as Go Micro 5.30 put them on the wire, in both roles.

use bytes::Bytes;
use futures_util::stream;
use micro_core::handler::CallKind;
use micro_core::transport::http::HttpConfig;
use micro_core::{Body, Error, ErrorKind, Request};
use tokio::io::AsyncWriteExt;

use crate::raw::{Fake, Message, Raw, capture, dial, greeter, within};

const STREAMS: [&str; 4] = [
    "stream-count",
    "stream-count-json",
    "stream-echo",
    "stream-echo-json",
];

/// Go's server adds these to each message; nothing reads them.
fn is_echo(name: &str) -> bool {
    let echoes = [
        "Accept",
        "Micro-Endpoint",
        "Micro-Id",
        "Micro-Method",
        "Micro-Service",
        "User-Agent",
    ];
    echoes.contains(&name) || name.starts_with("X-Micro-")
}

fn assert_like_gos(name: &str, ours: &[Message]) {
    let mut theirs = Message::all(&capture(&format!("{name}.server")));
    if name.contains("echo") {
        // Go says nothing once its handler saw the caller's end. We always say that a stream has ended.
        theirs.push(Message {
            first_line: "HTTP/1.1 200 OK".into(),
            headers: ours.last().unwrap().headers.clone(),
            body: Bytes::new(),
        });
    }
    assert_eq!(ours.len(), theirs.len(), "{name}: {ours:?}");
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(
            (&ours.first_line, &ours.body),
            (&theirs.first_line, &theirs.body),
            "{name}"
        );
        for (header, value) in &ours.headers {
            assert_eq!(theirs.header(header), Some(value.as_str()), "{name}: {header}");
        }
        let mut left_out = theirs
            .headers
            .iter()
            .filter(|(header, _)| ours.header(header).is_none());
        assert!(left_out.all(|(header, _)| is_echo(header)), "{name}: {ours:?}");
    }
    assert_eq!(ours.last().unwrap().header("Micro-Error"), Some("EOS"));
}

#[tokio::test]
async fn streams_of_go_clients_are_answered_even_when_they_end_at_once() {
    crate::raw::bounded(async {
        let server = greeter().await;
        for name in STREAMS {
            let sent = capture(&format!("{name}.client"));
            for size in [sent.len(), 1, 7, 100] {
                let mut connection = Raw::connect(server.address()).await;
                connection.send_in(sent.chunks(size)).await;
                // A Go client closes behind its EOS.
                connection.stream.shutdown().await.unwrap();
                let answered = within(connection.rest()).await;
                assert_like_gos(name, &Message::all(&answered));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn streams_of_go_clients_are_answered_message_by_message() {
    crate::raw::bounded(async {
        let server = greeter().await;
        for name in STREAMS {
            let sent = Message::all(&capture(&format!("{name}.client")));
            let bytes = capture(&format!("{name}.client"));
            let mut connection = Raw::connect(server.address()).await;
            let (mut at, mut answers) = (0, Vec::new());
            for (number, _) in sent.iter().enumerate() {
                let (_, length) = Message::parse(&bytes[at..]).unwrap();
                connection.send(&bytes[at..at + length]).await;
                at += length;
                let count = match (name.contains("count"), number) {
                    (_, 0) => 0, // It opens the stream, and its body is discarded.
                    (true, 1) => 4,
                    (true, _) => 0,
                    (false, _) => 1,
                };
                for _ in 0..count {
                    answers.push(within(connection.message()).await.unwrap());
                }
            }
            assert_like_gos(name, &answers);
            assert!(
                within(connection.message()).await.is_none(),
                "the connection ends with the stream"
            );
        }
    })
    .await;
}

/// What a client of ours sends for a captured stream.
fn request(name: &str) -> Request {
    let theirs = Message::all(&capture(&format!("{name}.client")));
    let endpoint = theirs[0].header("Micro-Endpoint").unwrap();
    let messages: Vec<Bytes> = theirs[1..theirs.len() - 1]
        .iter()
        .map(|message| message.body.clone())
        .collect();
    let body = match name.contains("count") {
        true => messages[0].clone().into(),
        false => Body::stream(stream::iter(messages.into_iter().map(Ok))),
    };
    let mut request = Request::new("interop.greeter", endpoint, body);
    request.content_type = theirs[0].header("Content-Type").unwrap().into();
    request.kind = CallKind::Stream;
    request
}

#[tokio::test]
async fn streams_of_go_servers_are_read_however_they_are_cut() {
    crate::raw::bounded(async {
        for name in STREAMS {
            let answer = capture(&format!("{name}.server"));
            let theirs = Message::all(&answer);
            for size in [answer.len(), 1, answer.len() / 40] {
                let (sender, mut sent) = tokio::sync::mpsc::channel(16);
                let bytes = answer.clone();
                let fake = Fake::start(move |_, mut connection| {
                    let (sender, bytes) = (sender.clone(), bytes.clone());
                    async move {
                        let expected = if name.contains("count") { 2 } else { 5 };
                        for _ in 0..expected {
                            sender.send(connection.message().await.unwrap()).await.unwrap();
                        }
                        connection.send_in(bytes.chunks(size)).await;
                        // Read on until the caller is gone: closing before what it still says would reset the
                        // connection.
                        connection.stream.shutdown().await.unwrap();
                        drop(sender);
                        connection.rest().await;
                    }
                })
                .await;
                let node = dial(&fake.address, HttpConfig::default()).await;
                let mut response = within(node.handle(request(name))).await.unwrap();
                for message in theirs.iter().take(3) {
                    assert_eq!(
                        within(response.body.message()).await.unwrap().unwrap(),
                        message.body
                    );
                }
                assert!(within(response.body.message()).await.is_none(), "{name} ends");
                let expected = Message::all(&capture(&format!("{name}.client")));
                for (number, theirs) in expected.iter().enumerate() {
                    let Some(ours) = sent.recv().await else {
                        assert!(
                            name.contains("count"),
                            "where one message goes out, closing ends the stream"
                        );
                        continue;
                    };
                    assert_eq!(headers(&ours), headers(theirs), "{name} message {number}");
                    if number > 0 {
                        assert_eq!(ours.body, theirs.body, "{name} message {number}");
                    }
                    drop(ours);
                    if number == 1 && name.contains("count") {
                        break;
                    }
                }
            }
        }
    })
    .await;
}

fn headers(message: &Message) -> Vec<(String, String)> {
    let own = ["User-Agent", "Host", "Content-Length", "Transfer-Encoding"];
    let mut headers: Vec<_> = message
        .headers
        .iter()
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .cloned()
        .collect();
    headers.sort();
    headers
}

fn open() -> Request {
    let mut request = crate::raw::request("x");
    request.kind = CallKind::Stream;
    request
}

/// What a stream gives when the far side sends these bytes and closes.
async fn read_from(answer: &'static str) -> (Vec<Bytes>, Option<Error>) {
    let fake = Fake::start(move |_, mut connection| async move {
        connection.message().await;
        connection.message().await;
        connection.send(answer).await;
    })
    .await;
    let node = dial(&fake.address, HttpConfig::default()).await;
    let mut body = within(node.handle(open())).await.unwrap().body;
    let mut messages = Vec::new();
    while let Some(message) = within(body.message()).await {
        match message {
            Ok(message) => messages.push(message),
            Err(error) => return (messages, Some(error)),
        }
    }
    (messages, None)
}

#[tokio::test]
async fn a_stream_ends_with_the_far_sides_error() {
    crate::raw::bounded(async {
    let (messages, error) = read_from(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 0\r\nMicro-Error: {\"id\":\"x\",\"code\":409,\"detail\":\"no\"}\r\n\r\n",
    )
    .await;
    assert_eq!(messages, ["a"]);
    let error = error.unwrap();
    assert_eq!((error.id(), error.code(), error.detail()), ("x", 409, "no"));
    let (_, error) =
        read_from("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nMicro-Error: just text\r\n\r\n").await;
    assert_eq!(error.unwrap().detail(), "just text");
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_was_cut_is_no_stream_that_ended() {
    crate::raw::bounded(async {
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na",
        ] {
            let (_, error) = read_from(answer).await;
            let error = error.expect("an error");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(error.is_unanswered() && !error.is_never_started());
        }
        let (_, error) = read_from("nonsense\r\n\r\n").await;
        assert_eq!(error.unwrap().code(), 502);
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_sends_nonsense_in_a_stream_is_told() {
    crate::raw::bounded(async {
        let server = greeter().await;
        let bytes = capture("stream-echo-json.client");
        let (_, length) = Message::parse(&bytes).unwrap();
        for (nonsense, code) in [
            ("nonsense\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        ] {
            let mut connection = Raw::connect(server.address()).await;
            connection.send(&bytes[..length]).await;
            connection.send(nonsense).await;
            let answer = within(connection.message()).await.unwrap();
            let error = Error::from_wire(answer.header("Micro-Error").unwrap());
            assert_eq!(error.code(), code, "{error}");
            assert!(within(connection.message()).await.is_none());
        }
    })
    .await;
}

#[tokio::test]
async fn the_end_of_a_stream_that_nobody_opened_closes_the_connection() {
    crate::raw::bounded(async {
    let server = greeter().await;
    let mut connection = Raw::connect(server.address()).await;
    connection.send("POST / HTTP/1.1\r\nMicro-Endpoint: Greeter.Echo\r\nMicro-Stream: 1\r\nMicro-Error: EOS\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
    assert!(within(connection.message()).await.is_none());
    })
    .await;
}

#[tokio::test]
async fn ends_of_streams_have_the_envelope_that_gos_old_codecs_read() {
    crate::raw::bounded(async {
    let server = greeter().await;
    let mut connection = Raw::connect(server.address()).await;
    let head = "POST / HTTP/1.1\r\nContent-Type: application/json-rpc\r\nMicro-Endpoint: Greeter.Echo\r\nMicro-Stream: 1\r\n";
    connection
        .send(format!(
            "{head}Content-Length: 0\r\n\r\n{head}Micro-Error: EOS\r\nContent-Length: 0\r\n\r\n"
        ))
        .await;
    let end = within(connection.message()).await.unwrap();
    assert_eq!(end.header("Micro-Error"), Some("EOS"));
    assert_eq!(end.json()["error"], "EOS");
    })
    .await;
}
