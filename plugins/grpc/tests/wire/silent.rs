//! Peers that are gone without a word.

use std::time::Duration;

use micro_core::Request;
use micro_core::handler::CallKind;
use micro_grpc::{GrpcConfig, GrpcLimits, KeepAlive};
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::raw::{accept, dial, serve_echo, soon};

const SHORT: KeepAlive = KeepAlive {
    interval: Duration::from_millis(50),
    timeout: Duration::from_millis(100),
};

/// Settings without a word, as both sides begin.
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

#[tokio::test]
async fn a_node_that_stopped_answering_fails_its_calls_as_unanswered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let _server = AbortOnDropHandle::new(tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(SETTINGS).await.unwrap();
            kept.push(stream);
        }
    }));
    let config = GrpcConfig {
        keep_alive: SHORT,
        ..GrpcConfig::default()
    };
    let peer = dial(&address, config).await;
    let error = soon(peer.handle(Request::new("a", "B.C", "x")))
        .await
        .unwrap_err();
    assert!(
        error.is_unanswered() && error.detail().contains(&address),
        "{error}"
    );
}

#[tokio::test]
async fn a_call_that_a_server_gave_up_at_its_deadline_is_out_of_time() {
    let (address, _server) = accept(|mut connection| async move {
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_reset(h2::Reason::CANCEL);
        }
    })
    .await;
    let peer = dial(&address, GrpcConfig::default()).await;
    for kind in [CallKind::Unary, CallKind::Stream] {
        for (deadline, code) in [(Some(Instant::now()), 408), (None, 503)] {
            let mut request = Request::new("a", "B.C", "x");
            request.kind = kind;
            request.deadline = deadline;
            let error = soon(peer.handle(request)).await.unwrap_err();
            assert!(error.code() == code && error.is_unanswered(), "{error}");
            assert!(error.detail().contains(&address), "{error}");
        }
    }
}

#[tokio::test]
async fn a_caller_that_stopped_answering_is_closed() {
    let listener = serve_echo(GrpcConfig {
        limits: GrpcLimits {
            keep_alive: SHORT,
            ..GrpcLimits::default()
        },
        ..GrpcConfig::default()
    })
    .await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    stream.write_all(SETTINGS).await.unwrap();
    let mut said = Vec::new();
    let _ = soon(stream.read_to_end(&mut said)).await;
}

#[tokio::test]
async fn a_peer_that_answers_pings_may_be_silent_for_long() {
    let config = GrpcConfig {
        keep_alive: SHORT,
        limits: GrpcLimits {
            keep_alive: SHORT,
            ..GrpcLimits::default()
        },
        ..GrpcConfig::default()
    };
    let listener = crate::raw::serve(config.clone(), |mut request| async move {
        tokio::time::sleep(Duration::from_millis(600)).await;
        Ok(micro_core::Response::new(request.take_body()))
    })
    .await;
    let peer = dial(listener.address(), config).await;
    soon(peer.handle(Request::new("a", "B.C", "x"))).await.unwrap();
}

#[tokio::test]
async fn a_listener_does_not_wait_for_a_silent_caller_without_calls() {
    let listener = serve_echo(GrpcConfig::default()).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    stream.write_all(SETTINGS).await.unwrap();
    let mut first = [0];
    soon(stream.read_exact(&mut first)).await.unwrap();
    soon(listener.close(Duration::from_secs(3600))).await;
}
