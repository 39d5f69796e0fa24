//! What Go Micro's gRPC client and server were seen to send.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue};
use micro_core::handler::CallKind;
use micro_core::{Body, Error, Request, Response};
use micro_grpc::GrpcConfig;
use tokio::time::Instant;

use crate::raw::{accept, connect, dial, head, read, serve, soon};

/// The headers that Go Micro's client sends with a call.
const CALL: &[(&str, &str)] = &[
    ("content-type", "application/grpc+proto"),
    ("te", "trailers"),
    ("grpc-timeout", "7896757u"),
    ("x-content-type", "application/grpc+proto"),
    ("timeout", "7899001505"),
];

const HELLO: &[u8] = b"\0\0\0\0\x09\x0a\x05world\x10\x01";

const DETAILS: &str = "CAYSVHsiaWQiOiJpbnRlcm9wLmZhaWwiLCJjb2RlIjo0MDksImRldGFpbCI6ImFza2VkIHRvIGZhaWw6IHdvcmxkIiwic3RhdHVzIjoiQ29uZmxpY3QifRpVCiB0eXBlLmdvb2dsZWFwaXMuY29tL2Vycm9ycy5FcnJvchIxCgxpbnRlcm9wLmZhaWwQmQMaFGFza2VkIHRvIGZhaWw6IHdvcmxkIghDb25mbGljdA";

const ERROR: &str = r#"{"id":"interop.fail","code":409,"detail":"asked to fail: world","status":"Conflict"}"#;

#[tokio::test]
async fn who_says_how_it_sends_is_told_what_is_read() {
    let listener = serve(GrpcConfig::default(), |_| async { Ok(Response::new("")) }).await;
    let mut caller = connect(listener.address()).await;
    let silent = caller.call(head("/a.B/C", CALL), HELLO).await.unwrap();
    assert!(!silent.headers.contains_key("grpc-accept-encoding"));
    let saying: Vec<_> = CALL
        .iter()
        .copied()
        .chain([("grpc-encoding", "identity")])
        .collect();
    let told = caller.call(head("/a.B/C", &saying), HELLO).await.unwrap();
    assert_eq!(told.headers["grpc-accept-encoding"], "identity,gzip");
}

#[tokio::test]
async fn a_call_of_gos_client_is_understood() {
    let seen: Arc<Mutex<Option<Request>>> = Arc::default();
    let noted = seen.clone();
    let listener = serve(GrpcConfig::default(), move |mut request| {
        let body = request.take_body();
        assert_eq!(body.as_single().unwrap(), &HELLO[5..]);
        *noted.lock().unwrap() = Some(request);
        async move { Ok(Response::new("\x0a\x0bHello world")) }
    })
    .await;
    let mut caller = connect(listener.address()).await;
    let answer = caller
        .call(head("/interop.greeter.Greeter/Hello", CALL), HELLO)
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (200, &b"\0\0\0\0\x0d\x0a\x0bHello world"[..])
    );
    assert_eq!(answer.headers["content-type"], "application/grpc+proto");
    assert_eq!(answer.trailers["grpc-status"], "0");
    let request = seen.lock().unwrap().take().unwrap();
    assert_eq!(
        (request.service.as_str(), request.endpoint.as_str(), request.kind),
        ("interop.greeter", "Greeter.Hello", CallKind::Unary)
    );
    assert_eq!(request.content_type.as_str(), "application/protobuf");
    assert!(request.metadata.is_empty(), "{:?}", request.metadata);
    let left = request.remaining().unwrap();
    assert!(
        left > Duration::from_secs(3) && left < Duration::from_secs(8),
        "{left:?}"
    );
}

#[tokio::test]
async fn gos_own_timeout_is_read_where_grpcs_is_absent() {
    let listener = serve(GrpcConfig::default(), |request| async move {
        let left = request.remaining().unwrap_or_default();
        Ok(Response::new(left.as_secs().to_string().into_bytes()))
    })
    .await;
    let mut caller = connect(listener.address()).await;
    let without: Vec<_> = CALL
        .iter()
        .copied()
        .filter(|(name, _)| *name != "grpc-timeout")
        .collect();
    let answer = caller
        .call(head("/Greeter/Hello", &without), HELLO)
        .await
        .unwrap();
    assert_eq!(&answer.body[5..], b"7");
}

#[tokio::test]
async fn errors_are_answered_as_gos_server_does() {
    let listener = serve(GrpcConfig::default(), |request| async move {
        match request.endpoint.as_str() {
            "Greeter.Fail" => Err(Error::conflict("interop.fail", "asked to fail: world")),
            _ => Err(Error::new("", 0, "plain: asked to fail: world")),
        }
    })
    .await;
    let mut caller = connect(listener.address()).await;
    let answer = caller
        .call(head("/interop.greeter.Greeter/Fail", CALL), HELLO)
        .await
        .unwrap();
    assert!(
        answer.status == 200 && answer.body.is_empty() && answer.trailers.is_empty(),
        "{answer:?}"
    );
    assert_eq!(answer.headers["grpc-status"], "6");
    assert_eq!(answer.headers["grpc-message"], ERROR);
    assert_eq!(answer.headers["grpc-status-details-bin"], DETAILS);
    let answer = caller
        .call(head("/interop.greeter.Greeter/Plain", CALL), HELLO)
        .await
        .unwrap();
    assert_eq!(answer.headers["grpc-status"], "2");
    assert_eq!(answer.headers["grpc-message"], "plain: asked to fail: world");
}

#[tokio::test]
async fn a_stream_of_gos_client_starts_without_the_end_of_its_messages() {
    let listener = serve(GrpcConfig::default(), |mut request| async move {
        let first = request.take_body().single().await?;
        assert_eq!(first, "\x08\x03");
        let counted = (0..3_u8).map(|number| Ok(Bytes::from(vec![8, number])));
        Ok(Response::new(Body::stream(stream::iter(counted))))
    })
    .await;
    let mut caller = connect(listener.address()).await;
    let streaming: Vec<_> = CALL
        .iter()
        .copied()
        .filter(|(name, _)| *name != "timeout")
        .collect();
    let (response, mut sender) = caller
        .requests
        .send_request(head("/interop.greeter.Greeter/Count", &streaming), false)
        .unwrap();
    sender
        .send_data(Bytes::from_static(b"\0\0\0\0\x02\x08\x03"), false)
        .unwrap();
    let answer = soon(async { read(response.await.unwrap()).await.unwrap() }).await;
    assert_eq!(
        answer.body,
        b"\0\0\0\0\x02\x08\0\0\0\0\0\x02\x08\x01\0\0\0\0\x02\x08\x02"
    );
    assert_eq!(answer.trailers["grpc-status"], "0");
    let reason = soon(std::future::poll_fn(|context| sender.poll_reset(context))).await;
    assert_eq!(reason.unwrap(), h2::Reason::NO_ERROR);
}

/// Answers like Go Micro's server, and notes what was asked.
async fn gos_server(heads: Arc<Mutex<Vec<http::request::Parts>>>) -> (String, impl Sized) {
    accept(move |mut connection| {
        let heads = heads.clone();
        async move {
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let (head, body) = request.into_parts();
                let mut response = http::Response::new(());
                let headers = response.headers_mut();
                headers.insert("content-type", HeaderValue::from_static("application/grpc+proto"));
                if head.uri.path().ends_with("Fail") {
                    headers.insert("grpc-status", HeaderValue::from_static("6"));
                    headers.insert("grpc-message", HeaderValue::from_static(ERROR));
                    headers.insert("grpc-status-details-bin", HeaderValue::from_static(DETAILS));
                    respond.send_response(response, true).unwrap();
                } else {
                    let mut stream = respond.send_response(response, false).unwrap();
                    stream
                        .send_data(Bytes::from_static(b"\0\0\0\0\x03abc"), false)
                        .unwrap();
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from_static("0"));
                    trailers.insert("grpc-message", HeaderValue::from_static(""));
                    stream.send_trailers(trailers).unwrap();
                }
                drop(body);
                heads.lock().unwrap().push(head);
            }
        }
    })
    .await
}

#[tokio::test]
async fn gos_server_is_called_and_its_answers_are_understood() {
    let heads: Arc<Mutex<Vec<_>>> = Arc::default();
    let (address, _server) = gos_server(heads.clone()).await;
    let peer = dial(&address, GrpcConfig::default()).await;
    let mut request = Request::new("interop.greeter", "Greeter.Hello", "\x0a\x05world\x10\x01");
    request.deadline = Some(Instant::now() + Duration::from_secs(8));
    request.metadata.insert("Tenant", "acme");
    let answer = soon(peer.handle(request)).await.unwrap();
    assert!(answer.metadata.is_empty(), "{:?}", answer.metadata);
    assert_eq!(answer.body.single().await.unwrap(), "abc");
    let fails = Request::new("interop.greeter", "Greeter.Fail", "");
    let error = soon(peer.handle(fails)).await.unwrap_err();
    assert_eq!(
        (error.id(), error.code(), error.detail(), error.status()),
        ("interop.fail", 409, "asked to fail: world", "Conflict")
    );
    let heads = heads.lock().unwrap();
    assert_eq!(heads[0].uri.path(), "/interop.greeter.Greeter/Hello");
    assert_eq!(heads[0].method, "POST");
    assert_eq!(heads[0].headers["content-type"], "application/grpc+proto");
    assert_eq!(heads[0].headers["te"], "trailers");
    assert_eq!(heads[0].headers["tenant"], "acme");
    assert!(
        heads[0].headers["grpc-timeout"]
            .to_str()
            .unwrap()
            .starts_with('7')
    );
}

#[tokio::test]
async fn one_message_of_many_is_read_from_gos_server_as_a_stream() {
    let (address, _server) = gos_server(Arc::default()).await;
    let peer = dial(&address, GrpcConfig::default()).await;
    let mut request = Request::new("interop.greeter", "Greeter.Count", "");
    request.kind = CallKind::Stream;
    let answer = soon(peer.handle(request)).await.unwrap();
    let read: Vec<_> = soon(answer.body.collect()).await;
    assert_eq!(read.len(), 1);
}
