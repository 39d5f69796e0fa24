//! What browsers ask before a page may call.

use micro_grpc::{GrpcConfig, Origins};
use tokio::net::TcpStream;

use crate::http1::{Plain, ask, exchange, serve_all};

const SHOP: &str = "https://shop.example";

fn with(origins: Origins) -> GrpcConfig {
    GrpcConfig {
        origins,
        ..GrpcConfig::default()
    }
}

async fn preflight(address: &str, origin: &str) -> Plain {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "OPTIONS /a.Greeter/Hello HTTP/1.1\r\nhost: wire\r\norigin: {origin}\r\n\
         access-control-request-method: POST\r\n\
         access-control-request-headers: content-type,x-grpc-web\r\n\r\n"
    );
    exchange(&mut stream, request.as_bytes()).await
}

#[tokio::test]
async fn a_listed_page_may_call_and_read_all_of_the_answer() {
    let listener = serve_all(with(Origins::Listed(vec![SHOP.to_owned()]))).await;
    let answer = preflight(listener.address(), SHOP).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), SHOP);
    assert_eq!(answer.header("access-control-allow-methods"), "POST");
    assert_eq!(
        answer.header("access-control-allow-headers"),
        "content-type,x-grpc-web"
    );
    let headers = [("content-type", "application/json"), ("origin", SHOP)];
    let answer = ask(listener.address(), "/a.Greeter/Hello", &headers, b"{}").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), SHOP);
    assert_eq!(answer.header("vary"), "origin");
    let exposed = answer.header("access-control-expose-headers");
    assert!(
        exposed.contains("answered") && exposed.contains("content-type"),
        "{exposed}"
    );
    let answer = ask(listener.address(), "/a.Greeter/Fail", &headers, b"{}").await;
    assert_eq!(answer.header("access-control-allow-origin"), SHOP);
}

#[tokio::test]
async fn pages_of_others_may_not_call() {
    for origins in [Origins::None, Origins::Listed(vec![SHOP.to_owned()])] {
        let listener = serve_all(with(origins)).await;
        let answer = preflight(listener.address(), "https://other.example").await;
        assert!(
            answer.status == 403 && answer.text().contains("origins"),
            "{answer:?}"
        );
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
}

#[tokio::test]
async fn any_page_may_call_where_that_was_chosen() {
    let listener = serve_all(with(Origins::Any)).await;
    let answer = preflight(listener.address(), "https://other.example").await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (204, "*")
    );
}
