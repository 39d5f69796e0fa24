//! How a listener lets go of its callers.

use std::sync::Arc;
use std::time::Duration;

use micro_core::handler::handler_fn;
use micro_core::transport::http::HttpConfig;
use micro_core::{Request, Response};
use tokio::sync::Notify;

use crate::raw::{Raw, greeter, hello, listen, within};

#[tokio::test]
async fn idle_connections_get_a_goodbye_and_running_calls_their_answer() {
    crate::raw::bounded(async {
        let (started, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begin, go) = (started.clone(), finish.clone());
        let handler = handler_fn(move |request: Request| {
            let (begin, go) = (begin.clone(), go.clone());
            async move {
                if request.endpoint == "Slow.Call" {
                    begin.notify_one();
                    go.notified().await;
                }
                Ok(Response::new("done"))
            }
        });
        let server = listen(Arc::new(handler), HttpConfig::default()).await;
        let address = server.address().to_owned();
        let mut fresh = Raw::connect(&address).await;
        let mut idle = Raw::connect(&address).await;
        within(idle.exchange("GET / HTTP/1.1\r\n\r\n")).await;
        let mut running = Raw::connect(&address).await;
        running
            .send("GET / HTTP/1.1\r\nMicro-Endpoint: Slow.Call\r\n\r\n")
            .await;
        within(started.notified()).await;
        let closing = tokio::spawn(server.close(Duration::from_secs(20)));
        for connection in [&mut idle, &mut fresh] {
            let farewell = within(connection.message()).await.unwrap();
            assert_eq!(
                (farewell.status(), farewell.header("Micro-Goodbye")),
                (503, Some("idle"))
            );
            assert!(within(connection.message()).await.is_none());
        }
        assert!(
            tokio::net::TcpStream::connect(&address).await.is_err(),
            "nobody is accepted any more"
        );
        finish.notify_one();
        let answer = within(running.message()).await.unwrap();
        assert_eq!(
            (answer.text(), answer.header("Connection")),
            ("done", Some("close"))
        );
        assert!(within(running.message()).await.is_none());
        drop((fresh, idle, running));
        within(closing).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_outlives_the_grace_is_cut_off() {
    crate::raw::bounded(async {
    let server = greeter().await;
    let mut connection = Raw::connect(server.address()).await;
    connection
        .send("POST / HTTP/1.1\r\nContent-Type: application/json\r\nMicro-Endpoint: Greeter.Sleep\r\nContent-Length: 6\r\n\r\n600000")
        .await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    within(server.close(Duration::from_millis(50))).await;
    assert!(within(connection.rest()).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_request_that_was_on_its_way_when_draining_began_is_answered() {
    crate::raw::bounded(async {
        let server = greeter().await;
        let mut connection = Raw::connect(server.address()).await;
        let request = hello("late");
        let (start, end) = request.split_at(40);
        connection.send(start).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let closing = tokio::spawn(server.close(Duration::from_secs(20)));
        tokio::time::sleep(Duration::from_millis(20)).await;
        let answer = within(connection.exchange(end)).await;
        assert!(answer.text().contains("Hello late"));
        assert_eq!(answer.header("Connection"), Some("close"));
        drop(connection);
        within(closing).await.unwrap();
    })
    .await;
}
