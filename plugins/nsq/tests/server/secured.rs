//! An nsqd that asks for authorization, and one that asks for certificates.

use micro_core::{Broker, ErrorKind};
use micro_nsq::{NsqBroker, NsqConfig};
use servers::Authority;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::nsq::{Nsqd, body, connect, publish, queue};

/// Lets the secret `right` do everything with topics that begin with `orders`.
async fn authorize(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = [0; 4096];
        let read = stream.read(&mut request).await.unwrap_or_default();
        let request = String::from_utf8_lossy(&request[..read]);
        let (status, body) = match request.contains("secret=right") {
            true => (
                "200 OK",
                r#"{"ttl":3600,"identity":"micro","identity_url":"","authorizations":[{"topic":"^orders.*$","channels":[".*"],"permissions":["subscribe","publish"]}]}"#,
            ),
            false => ("403 Forbidden", r#"{"message":"NOT_AUTHORIZED"}"#),
        };
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

#[tokio::test]
async fn the_right_secret_is_let_in_where_it_may() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authorizer = format!("-auth-http-address={}", listener.local_addr().unwrap());
    let task = tokio::spawn(authorize(listener));
    let Some(nsqd) = Nsqd::start_with(&[&authorizer]).await else {
        return;
    };
    let with = |secret: Option<&str>| NsqConfig {
        secret: secret.map(str::to_owned),
        ..nsqd.config()
    };
    for secret in [None, Some("wrong")] {
        let error = NsqBroker::connect(with(secret)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
        assert!(
            error.detail().contains("MICRO_NSQ_SECRET") && !error.detail().contains("wrong"),
            "{error}"
        );
    }
    let broker = connect(with(Some("right"))).await;
    let mut member = broker.subscribe("orders", queue("workers", 1)).await.unwrap();
    publish(&broker, "orders", "a").await.unwrap();
    assert_eq!(body(&mut member).await, "a");
    let error = publish(&broker, "bills", "a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
    let error = broker.subscribe("bills", queue("workers", 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
    task.abort();
}

#[tokio::test]
async fn both_sides_show_their_certificates() {
    let authority = Authority::new().unwrap();
    let files = authority.files("127.0.0.1").unwrap();
    let arguments = [
        format!("-tls-cert={}", files.certificate),
        format!("-tls-key={}", files.key),
        format!("-tls-root-ca-file={}", files.authority),
        "-tls-client-auth-policy=require-verify".to_owned(),
        "-tls-required=tcp-https".to_owned(),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Some(nsqd) = Nsqd::start_with(&arguments).await else {
        return;
    };
    let with = |tls| NsqConfig {
        tls: Some(tls),
        ..nsqd.config()
    };
    let broker = connect(with(authority.client().unwrap())).await;
    let mut member = broker.subscribe("orders", queue("workers", 1)).await.unwrap();
    publish(&broker, "orders", "a").await.unwrap();
    assert_eq!(body(&mut member).await, "a");
    for tls in authority.strangers().unwrap() {
        let error = NsqBroker::connect(with(tls)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(
            error.detail().contains(&nsqd.0.address().to_string()) && error.detail().contains("TLS"),
            "{error}"
        );
    }
    // Who does not encrypt may say who they are, and no more.
    let broker = connect(nsqd.config()).await;
    let error = publish(&broker, "orders", "a").await.unwrap_err();
    assert!(error.detail().contains("MICRO_NSQ_CACERT"), "{error}");
    let error = broker.subscribe("orders", queue("workers", 1)).await.unwrap_err();
    assert!(error.detail().contains("MICRO_NSQ_CACERT"), "{error}");
}
