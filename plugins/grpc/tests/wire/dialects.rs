//! The dialects beside each other: over HTTP/2, in the life of a connection, and at a listener's end.

use std::sync::Arc;
use std::time::Duration;

use micro_core::transport::http::{Identity, Tls};
use micro_core::transport::socket::Connector;
use micro_grpc::GrpcConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http1::{Waiting, ask, exchange, post, serve_all, serve_waiting};
use crate::raw::{connect, head, serve, soon};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

#[tokio::test]
async fn all_dialects_are_served_on_one_connection_over_http2() {
    let listener = serve_all(GrpcConfig::default()).await;
    let mut caller = connect(listener.address()).await;
    let grpc = [("content-type", "application/grpc+proto")];
    let answer = caller
        .call(head("/a.Greeter/Hello", &grpc), b"\0\0\0\0\x02hi")
        .await
        .unwrap();
    assert_eq!(answer.grpc_status(), "0");
    let answer = caller.call(head("/a.Greeter/Hello", JSON), b"{}").await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"{}"[..]));
    let answer = caller.call(head("/a.Greeter/Fail", JSON), b"{}").await.unwrap();
    assert_eq!(answer.status, 409);
    let web = [("content-type", "application/grpc-web+json")];
    let answer = caller
        .call(head("/a.Greeter/Count", &web), b"\0\0\0\0\x01x")
        .await
        .unwrap();
    assert_eq!(
        answer.body,
        b"\0\0\0\0\x02x0\0\0\0\0\x02x1\0\0\0\0\x02x2\x80\0\0\0\x0fgrpc-status:0\r\n"
    );
    let stream = [("content-type", "application/connect+proto")];
    let answer = caller
        .call(head("/a.Greeter/Echo", &stream), b"\0\0\0\0\x01x\0\0\0\0\x01y")
        .await
        .unwrap();
    assert_eq!(answer.body, b"\0\0\0\0\x01x\0\0\0\0\x01y\x02\0\0\0\x02{}");
}

#[tokio::test]
async fn a_large_answer_passes_the_windows_of_http2() {
    let listener = serve_all(GrpcConfig::default()).await;
    let mut caller = connect(listener.address()).await;
    for _ in 0..3 {
        let answer = caller.call(head("/a.Greeter/Large", JSON), b"{}").await.unwrap();
        assert_eq!(answer.body.len(), 300_000);
    }
}

#[tokio::test]
async fn a_connection_over_http1_carries_calls_of_every_dialect() {
    let listener = serve_all(GrpcConfig::default()).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    for (content_type, body) in [
        ("application/json", &b"{}"[..]),
        ("application/grpc-web", b"\0\0\0\0\0"),
        ("application/connect+json", b"\0\0\0\0\x02{}"),
        ("application/json", b"{}"),
    ] {
        let headers = [("content-type", content_type)];
        let answer = exchange(&mut stream, &post("/a.Greeter/Hello", &headers, body)).await;
        assert_eq!(answer.status, 200, "{content_type}");
        assert!(answer.body.starts_with(body), "{content_type}");
    }
}

#[tokio::test]
async fn what_is_no_call_is_told_what_would_be() {
    let listener = serve_all(GrpcConfig::default()).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    let answer = exchange(&mut stream, b"GET /a.Greeter/Hello HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
    for (content_type, status, says) in [
        ("text/html", 415, "application/json"),
        ("application/grpc", 505, "HTTP/2"),
    ] {
        let headers = [("content-type", content_type)];
        let answer = exchange(&mut stream, &post("/a.Greeter/Hello", &headers, b"x")).await;
        assert!(
            answer.status == status && answer.text().contains(says),
            "{content_type}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_caller_over_http1_that_goes_away_ends_its_call() {
    let waiting = Arc::new(Waiting::default());
    let listener = serve_waiting(waiting.clone()).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    stream
        .write_all(&post("/a.Greeter/Hello", JSON, b"{}"))
        .await
        .unwrap();
    soon(waiting.began.notified()).await;
    drop(stream);
    soon(waiting.dropped.notified()).await;
}

#[tokio::test]
async fn a_call_over_http2_that_is_reset_ends_its_handler() {
    let waiting = Arc::new(Waiting::default());
    let listener = serve_waiting(waiting.clone()).await;
    let mut caller = connect(listener.address()).await;
    let (response, mut sender) = caller
        .requests
        .send_request(head("/a.Greeter/Hello", JSON), false)
        .unwrap();
    sender.send_data("{}".into(), true).unwrap();
    soon(waiting.began.notified()).await;
    drop((response, sender));
    soon(waiting.dropped.notified()).await;
}

#[tokio::test]
async fn a_listener_that_closes_answers_what_runs_over_http1() {
    let waiting = Arc::new(Waiting::default());
    let (began, go) = (waiting.clone(), waiting.clone());
    let listener = serve(GrpcConfig::default(), move |mut request| {
        let waiting = began.clone();
        async move {
            waiting.began.notify_one();
            waiting.dropped.notified().await;
            Ok(micro_core::Response::new(request.take_body()))
        }
    })
    .await;
    let address = listener.address().to_owned();
    let mut idle = TcpStream::connect(&address).await.unwrap();
    let answer = exchange(&mut idle, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(answer.status, 405);
    let call = tokio::spawn(async move { ask(&address, "/a.Greeter/Hello", JSON, b"{}").await });
    soon(go.began.notified()).await;
    let closed = tokio::spawn(listener.close(Duration::from_secs(20)));
    // The one without a call is closed at once.
    assert_eq!(soon(idle.read(&mut [0])).await.unwrap(), 0);
    go.dropped.notify_one();
    let answer = call.await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));
    soon(closed).await.unwrap();
}

#[tokio::test]
async fn a_stream_over_http1_that_is_not_read_stops_its_writer() {
    let (told, mut sent) = tokio::sync::watch::channel(0);
    let told = Arc::new(told);
    let listener = serve(GrpcConfig::default(), move |_| {
        let told = told.clone();
        async move {
            let messages = futures_util::stream::repeat_with(move || {
                told.send_modify(|sent| *sent += 1);
                Ok(bytes::Bytes::from(vec![0; 64 * 1024]))
            });
            Ok(micro_core::Response::new(micro_core::Body::stream(messages)))
        }
    })
    .await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    let headers = [("content-type", "application/connect+proto")];
    stream
        .write_all(&post("/a.Greeter/Count", &headers, b""))
        .await
        .unwrap();
    soon(sent.wait_for(|sent| *sent > 10)).await.unwrap();
    // The writer stops when the buffers between the two are full: then nothing is told for a while.
    soon(async {
        let pause = Duration::from_millis(500);
        while tokio::time::timeout(pause, sent.changed()).await.is_ok() {
            assert!(*sent.borrow() < 1000, "64 MB for nobody");
        }
    })
    .await;
}

#[tokio::test]
async fn http1_is_served_over_encrypted_connections_to_those_who_choose_it() {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&key).unwrap().pem();
    let tls = Tls {
        identity: Some(Identity {
            certificates: certificate.clone().into(),
            key: key.serialize_pem().into(),
        }),
        authorities: certificate.into(),
        ..Tls::default()
    };
    let listener = serve_all(GrpcConfig {
        tls: Some(tls.clone()),
        ..GrpcConfig::default()
    })
    .await;
    for protocols in [&["http/1.1"][..], &[]] {
        let connector = Connector::new(Some(&tls), protocols).unwrap();
        let mut stream = soon(connector.connect(listener.address())).await.unwrap();
        let answer = exchange(&mut stream, &post("/a.Greeter/Hello", JSON, b"{}")).await;
        assert_eq!((answer.status, answer.text()), (200, "{}"), "{protocols:?}");
    }
}
