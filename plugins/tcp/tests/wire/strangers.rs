//! Peers that speak something else are told so by name.

use std::sync::Arc;

use micro_core::handler::handler_fn;
use micro_core::registry::Node;
use micro_core::transport::http::{HttpConfig, HttpTransport};
use micro_core::{Request, Response, Transport};
use micro_tcp::TcpConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use crate::raw::{PREAMBLE, dial, serve_echo, soon};

#[tokio::test]
async fn a_call_to_a_node_of_http_says_what_is_spoken_there() {
    let transport = HttpTransport::new(HttpConfig::default()).unwrap();
    let nobody = Arc::new(handler_fn(|_| async { Ok(Response::default()) }));
    let listener = transport.listen("127.0.0.1:0", nobody).await.unwrap();
    let peer = dial(listener.address(), TcpConfig::default()).await;
    let error = soon(peer.handle(Request::new("a", "B.C", "x")))
        .await
        .unwrap_err();
    assert!(error.is_never_started(), "{error:?}");
    assert!(error.detail().contains("speaks HTTP/1.1"), "{error}");
}

#[tokio::test]
async fn a_caller_of_http_is_told_what_is_spoken_here() {
    let listener = serve_echo(TcpConfig::default()).await;
    let transport = HttpTransport::new(HttpConfig::default()).unwrap();
    let peer = transport
        .dial(&Node::new("node-1", listener.address()))
        .await
        .unwrap();
    let error = soon(peer.handle(Request::new("a", "B.C", "x")))
        .await
        .unwrap_err();
    assert!(error.detail().contains("micro-tcp"), "{error}");
}

#[tokio::test]
async fn another_version_is_told_with_its_number() {
    let mut later = PREAMBLE;
    later[13] = 9;
    let listener = serve_echo(TcpConfig::default()).await;
    let mut caller = TcpStream::connect(listener.address()).await.unwrap();
    caller.write_all(&later).await.unwrap();
    let mut answer = Vec::new();
    soon(caller.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(&answer[..14], b"MICRO-TCP\r\n\r\n\x01");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let _server = AbortOnDropHandle::new(tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&later).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }));
    let peer = dial(&address, TcpConfig::default()).await;
    let error = soon(peer.handle(Request::new("a", "B.C", "x")))
        .await
        .unwrap_err();
    assert!(
        error.is_never_started() && error.detail().contains("version 9"),
        "{error}"
    );
}
