//! gRPC-Web over HTTP/1.1, as its specification and its clients have it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use micro_grpc::{Compression, GrpcConfig};
use tokio::net::TcpStream;

use crate::http1::{ask, exchange, post, serve_all};

const BINARY: &[(&str, &str)] = &[
    ("content-type", "application/grpc-web+proto"),
    ("x-grpc-web", "1"),
    ("x-user-agent", "grpc-web-javascript/0.1"),
];
const TEXT: &[(&str, &str)] = &[
    ("content-type", "application/grpc-web-text"),
    ("accept", "application/grpc-web-text"),
    ("x-grpc-web", "1"),
];
const HELLO: &[u8] = b"\0\0\0\0\x05world";
const OK: &[u8] = b"\x80\0\0\0\x0fgrpc-status:0\r\n";

/// What the text of an answer encodes: pieces that are each padded.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for group in text.chunks(4) {
        bytes.extend(STANDARD.decode(group).unwrap());
    }
    bytes
}

#[tokio::test]
async fn a_unary_call_is_answered_with_a_frame_and_trailers() {
    let listener = serve_all(GrpcConfig::default()).await;
    let answer = ask(listener.address(), "/a.Greeter/Hello", BINARY, HELLO).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/grpc-web+proto");
    assert_eq!(answer.header("answered"), "yes");
    assert_eq!(answer.body, [HELLO, OK].concat());
}

#[tokio::test]
async fn a_call_as_text_is_answered_as_text() {
    let listener = serve_all(GrpcConfig::default()).await;
    // The frame of the specification's own example of a body: flag, length, message, all in one piece of base64.
    let answer = ask(listener.address(), "/a.Greeter/Hello", TEXT, b"AAAAAAV3b3JsZA==").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/grpc-web-text+proto");
    assert_eq!(decoded(&answer.body), [HELLO, OK].concat());
    // Pieces that are padded each for themselves, in the middle of a frame.
    let pieces = [STANDARD.encode(&HELLO[..4]), STANDARD.encode(&HELLO[4..])].concat();
    let answer = ask(listener.address(), "/a.Greeter/Hello", TEXT, pieces.as_bytes()).await;
    assert_eq!(decoded(&answer.body), [HELLO, OK].concat());
}

#[tokio::test]
async fn many_messages_come_in_frames_and_as_text() {
    let listener = serve_all(GrpcConfig::default()).await;
    let expected = [b"\0\0\0\0\x06world0\0\0\0\0\x06world1\0\0\0\0\x06world2", OK].concat();
    let answer = ask(listener.address(), "/a.Greeter/Count", BINARY, HELLO).await;
    assert_eq!(answer.body, expected);
    let text = STANDARD.encode(HELLO);
    let answer = ask(listener.address(), "/a.Greeter/Count", TEXT, text.as_bytes()).await;
    assert_eq!(decoded(&answer.body), expected);
}

#[tokio::test]
async fn errors_are_in_the_trailers() {
    let listener = serve_all(GrpcConfig::default()).await;
    let answer = ask(listener.address(), "/a.Greeter/Fail", BINARY, HELLO).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "application/grpc-web+proto")
    );
    assert_eq!(answer.body[0], 0x80);
    let trailers = String::from_utf8_lossy(&answer.body[5..]).into_owned();
    assert_eq!(answer.body[1..5], (trailers.len() as u32).to_be_bytes());
    assert!(trailers.contains("grpc-status:6\r\n"), "{trailers}");
    assert!(
        trailers.contains(
            r#"grpc-message:{"id":"interop.fail","code":409,"detail":"asked to fail: world","status":"Conflict"}"#
        ),
        "{trailers}"
    );
    let answer = ask(listener.address(), "/a.Greeter/Break", BINARY, HELLO).await;
    assert!(answer.body.starts_with(b"\0\0\0\0\x03one\x80\0"), "{answer:?}");
    let answer = ask(listener.address(), "/a.Greeter/None", BINARY, HELLO).await;
    assert!(String::from_utf8_lossy(&answer.body).contains("grpc-status:12\r\n"));
}

#[tokio::test]
async fn what_the_handler_learns_is_what_grpc_tells() {
    let listener = serve_all(GrpcConfig::default()).await;
    let headers = [
        BINARY,
        &[("grpc-timeout", "7S"), ("tenant", "acme"), ("origin", "http://x")],
    ]
    .concat();
    let answer = ask(listener.address(), "/a.Greeter/About", &headers, HELLO).await;
    let about = String::from_utf8_lossy(&answer.body[5..]).into_owned();
    assert!(
        about.starts_with(r#"Unary application/protobuf 7 [("tenant", "acme")]"#),
        "{about}"
    );
}

#[tokio::test]
async fn compressed_messages_are_read_and_written() {
    let listener = serve_all(GrpcConfig {
        compression: Compression::Gzip { from: 0 },
        ..GrpcConfig::default()
    })
    .await;
    let headers = [BINARY, &[("grpc-accept-encoding", "gzip")]].concat();
    let answer = ask(listener.address(), "/a.Greeter/Large", &headers, HELLO).await;
    assert_eq!(answer.header("grpc-encoding"), "gzip");
    assert!(
        answer.body[0] == 1 && answer.body.len() < 10_000,
        "{}",
        answer.body.len()
    );
    // What was written is read back.
    let length = u32::from_be_bytes(answer.body[1..5].try_into().unwrap()) as usize;
    let frame = &answer.body[..5 + length];
    let headers = [BINARY, &[("grpc-encoding", "gzip")]].concat();
    let answer = ask(listener.address(), "/a.Greeter/Hello", &headers, frame).await;
    assert_eq!(answer.body[..5], [0, 0, 4, 0x93, 0xe0]);
    assert_eq!(answer.body.len(), 5 + 300_000 + OK.len());
}

#[tokio::test]
async fn bad_frames_fail_their_call_and_not_the_connection() {
    let listener = serve_all(GrpcConfig::default()).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    for (headers, body) in [
        (BINARY, &b"\x07\0\0\0\0"[..]),
        (BINARY, b"\0\xff\xff\xff\xff"),
        (BINARY, b"\0\0\0\0\x05wor"),
        (BINARY, b"\x01\0\0\0\x03abc"),
        (TEXT, b"no base64!"),
        (TEXT, b"AAAAA"),
    ] {
        let answer = exchange(&mut stream, &post("/a.Greeter/Hello", headers, body)).await;
        let body = match headers == TEXT {
            true => decoded(&answer.body),
            false => answer.body,
        };
        let trailers = String::from_utf8_lossy(&body).into_owned();
        assert!(
            body[0] == 0x80 && !trailers.contains("grpc-status:0\r\n"),
            "{trailers}"
        );
    }
    let answer = exchange(&mut stream, &post("/a.Greeter/Hello", BINARY, HELLO)).await;
    assert_eq!(answer.body, [HELLO, OK].concat());
}
