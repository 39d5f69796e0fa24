//! Connect and plain JSON over HTTP/1.1, as Connect's specification has them.

use micro_grpc::{Compression, GrpcConfig};
use tokio::net::TcpStream;

use crate::http1::{ask, exchange, post, serve_all};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const PROTO: &[(&str, &str)] = &[
    ("content-type", "application/proto"),
    ("connect-protocol-version", "1"),
];
const STREAM: &[(&str, &str)] = &[
    ("content-type", "application/connect+json"),
    ("connect-protocol-version", "1"),
];

const FAILURE: &str = r#"{"code":"already_exists","message":"asked to fail: world","details":[{"type":"errors.Error","value":"CgxpbnRlcm9wLmZhaWwQmQMaFGFza2VkIHRvIGZhaWw6IHdvcmxkIghDb25mbGljdA","debug":{"id":"interop.fail","code":409,"detail":"asked to fail: world","status":"Conflict"}}]}"#;

#[tokio::test]
async fn plain_json_is_a_call() {
    let listener = serve_all(GrpcConfig::default()).await;
    let answer = ask(listener.address(), "/a.Greeter/Hello", JSON, br#"{"name":"x"}"#).await;
    assert_eq!((answer.status, answer.text()), (200, r#"{"name":"x"}"#));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("answered"), "yes");
    let charset = [("content-type", "application/json; charset=utf-8")];
    let answer = ask(listener.address(), "/a.Greeter/Hello", &charset, b"{}").await;
    assert_eq!((answer.status, answer.text()), (200, "{}"));
}

#[tokio::test]
async fn a_unary_call_in_protobuf_is_one_bare_message() {
    let listener = serve_all(GrpcConfig::default()).await;
    let answer = ask(listener.address(), "/a.Greeter/Hello", PROTO, b"\x0a\x05world").await;
    assert_eq!((answer.status, answer.text()), (200, "\n\x05world"));
    assert_eq!(answer.header("content-type"), "application/proto");
    let headers = [PROTO, &[("connect-timeout-ms", "7000"), ("tenant", "acme")]].concat();
    let answer = ask(listener.address(), "/a.Greeter/About", &headers, b"").await;
    assert_eq!(
        answer.text(),
        r#"Unary application/protobuf 7 [("tenant", "acme")]"#
    );
}

#[tokio::test]
async fn an_error_is_json_with_the_status_of_connects_table() {
    let listener = serve_all(GrpcConfig::default()).await;
    for headers in [JSON, PROTO] {
        let answer = ask(listener.address(), "/a.Greeter/Fail", headers, b"{}").await;
        assert_eq!((answer.status, answer.text()), (409, FAILURE));
        assert_eq!(answer.header("content-type"), "application/json");
    }
    let answer = ask(listener.address(), "/a.Greeter/None", JSON, b"{}").await;
    assert_eq!(answer.status, 501);
    assert!(
        answer.text().starts_with(r#"{"code":"unimplemented","#),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_stream_is_frames_and_an_end() {
    let listener = serve_all(GrpcConfig::default()).await;
    let answer = ask(
        listener.address(),
        "/a.Greeter/Count",
        STREAM,
        b"\0\0\0\0\x05world",
    )
    .await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "application/connect+json")
    );
    assert_eq!(
        answer.body,
        b"\0\0\0\0\x06world0\0\0\0\0\x06world1\0\0\0\0\x06world2\x02\0\0\0\x02{}"
    );
    let messages = b"\0\0\0\0\x01a\0\0\0\0\0\0\0\0\0\x02bc";
    let answer = ask(listener.address(), "/a.Greeter/Echo", STREAM, messages).await;
    assert_eq!(answer.body, [&messages[..], b"\x02\0\0\0\x02{}"].concat());
}

#[tokio::test]
async fn the_error_of_a_stream_is_in_its_end() {
    let listener = serve_all(GrpcConfig::default()).await;
    let end = format!(r#"{{"error":{FAILURE}}}"#);
    let mut expected = vec![2];
    expected.extend((end.len() as u32).to_be_bytes());
    expected.extend(end.as_bytes());
    let answer = ask(listener.address(), "/a.Greeter/Fail", STREAM, b"").await;
    assert_eq!((answer.status, &answer.body), (200, &expected));
    let answer = ask(listener.address(), "/a.Greeter/Break", STREAM, b"").await;
    assert_eq!(answer.body, [b"\0\0\0\0\x03one", &expected[..]].concat());
}

#[tokio::test]
async fn many_messages_are_no_answer_to_a_unary_call() {
    let listener = serve_all(GrpcConfig::default()).await;
    let answer = ask(listener.address(), "/a.Greeter/Count", JSON, b"{}").await;
    assert!(
        answer.status == 501 && answer.text().contains("application/connect+json"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn compressed_messages_are_read_and_written() {
    let listener = serve_all(GrpcConfig {
        compression: Compression::Gzip { from: 0 },
        ..GrpcConfig::default()
    })
    .await;
    let accepts = [JSON, &[("accept-encoding", "gzip, br")]].concat();
    let answer = ask(listener.address(), "/a.Greeter/Large", &accepts, b"{}").await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    assert!(answer.body.len() < 10_000);
    let compressed = [JSON, &[("content-encoding", "gzip")]].concat();
    let answer = ask(listener.address(), "/a.Greeter/Hello", &compressed, &answer.body).await;
    assert_eq!(
        (answer.header("content-encoding"), answer.body.len()),
        ("", 300_000)
    );
    let unknown = [JSON, &[("content-encoding", "br")]].concat();
    let answer = ask(listener.address(), "/a.Greeter/Hello", &unknown, b"x").await;
    assert_eq!(answer.status, 501);
}

#[tokio::test]
async fn bad_calls_fail_alone_and_say_why() {
    let mut config = GrpcConfig::default();
    config.limits.message_size = 1000;
    let listener = serve_all(config).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    let large = [b'x'; 1001];
    for (path, header, body, status, says) in [
        (
            "/a.Greeter/Hello",
            ("connect-protocol-version", "2"),
            &b"{}"[..],
            400,
            "connect-protocol-version",
        ),
        (
            "/a.Greeter/Hello",
            ("connect-timeout-ms", "soon"),
            b"{}",
            400,
            "connect-timeout-ms",
        ),
        ("/a.Greeter/Hello", ("x", "y"), &large, 429, "message_size"),
        (
            "/a.Greeter/Hello",
            ("content-encoding", "gzip"),
            b"{}",
            400,
            "decompressed",
        ),
        (
            "/nothing",
            ("x", "y"),
            b"{}",
            501,
            "/<service>.<Handler>/<Method>",
        ),
    ] {
        let headers = [JSON, &[header]].concat();
        let answer = exchange(&mut stream, &post(path, &headers, body)).await;
        assert!(
            answer.status == status && answer.text().contains(says),
            "{path} {header:?}: {answer:?}"
        );
    }
    let answer = exchange(&mut stream, &post("/a.Greeter/Hello", JSON, b"{}")).await;
    assert_eq!((answer.status, answer.text()), (200, "{}"));
}
