//! How connections to a node are kept, replaced and given up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use micro_core::handler::handler_fn;
use micro_core::registry::{MemoryRegistry, Node, RegisterOptions, ServiceRecord};
use micro_core::transport::HttpTransport;
use micro_core::transport::http::{HttpConfig, HttpLimits};
use micro_core::{Client, Handler, Registry, Request, Response};
use tokio::sync::{Barrier, mpsc};

use crate::raw::{Fake, Raw, dial, listen, request, within};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const GOODBYE: &str = "HTTP/1.1 503 Service Unavailable\r\nMicro-Goodbye: idle\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// A server that answers everything and notes by which connection each request came.
async fn noting() -> (Fake, Arc<Mutex<Vec<usize>>>) {
    let noted = Arc::new(Mutex::new(Vec::new()));
    let notes = noted.clone();
    let fake = Fake::start(move |number, mut connection| {
        let notes = notes.clone();
        async move {
            while connection.message().await.is_some() {
                notes.lock().unwrap().push(number);
                connection.send(OK).await;
            }
        }
    })
    .await;
    (fake, noted)
}

async fn call(node: &Arc<dyn Handler>) {
    within(node.handle(request("x"))).await.unwrap();
}

#[tokio::test]
async fn calls_one_after_the_other_share_a_connection() {
    crate::raw::bounded(async {
        let (fake, noted) = noting().await;
        let node = dial(&fake.address, HttpConfig::default()).await;
        for _ in 0..50 {
            call(&node).await;
        }
        assert_eq!(*noted.lock().unwrap(), [0; 50]);
    })
    .await;
}

#[tokio::test]
async fn the_connection_that_was_used_last_is_used_next() {
    crate::raw::bounded(async {
        let (fake, noted) = noting().await;
        let node = dial(&fake.address, HttpConfig::default()).await;
        join_all((0..4).map(|_| call(&node))).await;
        let last = *noted.lock().unwrap().last().unwrap();
        noted.lock().unwrap().clear();
        for _ in 0..5 {
            call(&node).await;
        }
        let used = noted.lock().unwrap().clone();
        assert!(
            used.iter().all(|number| *number == used[0]),
            "{used:?} after {last}"
        );
    })
    .await;
}

#[tokio::test]
async fn no_more_connections_are_kept_than_the_pool_may_hold() {
    crate::raw::bounded(async {
        let (fake, noted) = noting().await;
        let config = HttpConfig {
            pool_size: 0,
            ..HttpConfig::default()
        };
        let node = dial(&fake.address, config).await;
        for _ in 0..3 {
            call(&node).await;
        }
        assert_eq!(*noted.lock().unwrap(), [0, 1, 2]);
    })
    .await;
}

#[tokio::test]
async fn connections_that_are_too_old_or_idled_too_long_are_replaced() {
    crate::raw::bounded(async {
        for config in [
            HttpConfig {
                pool_max_age: Duration::from_millis(20),
                ..HttpConfig::default()
            },
            HttpConfig {
                pool_idle_timeout: Duration::from_millis(20),
                ..HttpConfig::default()
            },
        ] {
            let (fake, noted) = noting().await;
            let node = dial(&fake.address, config).await;
            call(&node).await;
            tokio::time::sleep(Duration::from_millis(30)).await;
            call(&node).await;
            assert_eq!(*noted.lock().unwrap(), [0, 1]);
        }
    })
    .await;
}

#[tokio::test]
async fn idle_connections_are_closed_without_another_call() {
    crate::raw::bounded(async {
        let (closed, mut was_closed) = mpsc::channel(1);
        let fake = Fake::start(move |_, mut connection| {
            let closed = closed.clone();
            async move {
                connection.message().await;
                connection.send(OK).await;
                assert!(connection.message().await.is_none());
                closed.send(()).await.unwrap();
            }
        })
        .await;
        let transport = micro_core::transport::HttpTransport::new(HttpConfig {
            pool_idle_timeout: Duration::from_millis(20),
            ..HttpConfig::default()
        })
        .unwrap();
        let address = fake.address.clone();
        let node = micro_core::registry::Node {
            address,
            ..Default::default()
        };
        let node = micro_core::Transport::dial(&transport, &node).await.unwrap();
        call(&node).await;
        within(was_closed.recv()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_went_stale_is_replaced_unnoticed() {
    crate::raw::bounded(async {
        for parting in ["", GOODBYE, "junk"] {
            let (closed, mut was_closed) = mpsc::channel(1);
            let fake = Fake::start(move |number, mut connection| {
                let closed = closed.clone();
                async move {
                    connection.message().await;
                    connection.send(OK).await;
                    if number == 0 {
                        connection.send(parting).await;
                        drop(connection);
                        closed.send(()).await.unwrap();
                    }
                }
            })
            .await;
            let node = dial(&fake.address, HttpConfig::default()).await;
            call(&node).await;
            within(was_closed.recv()).await.unwrap();
            // The end is on its way through the kernel.
            tokio::time::sleep(Duration::from_millis(5)).await;
            call(&node).await;
        }
    })
    .await;
}

#[tokio::test]
async fn hundreds_of_stale_connections_are_replaced_unnoticed() {
    const MANY: usize = 300;
    crate::raw::bounded(async {
        let (all_here, closed) = (Arc::new(Barrier::new(MANY)), Arc::new(Barrier::new(MANY + 1)));
        let (here, gone) = (all_here.clone(), closed.clone());
        let fake = Fake::start(move |number, mut connection| {
            let (here, gone) = (here.clone(), gone.clone());
            async move {
                connection.message().await;
                if number < MANY {
                    here.wait().await;
                }
                connection.send(OK).await;
                if number < MANY {
                    here.wait().await;
                    drop(connection);
                    gone.wait().await;
                }
            }
        })
        .await;
        let node = dial(&fake.address, HttpConfig::default()).await;
        join_all((0..MANY).map(|_| call(&node))).await;
        closed.wait().await;
        // The ends are on their way through the kernel.
        tokio::time::sleep(Duration::from_millis(5)).await;
        call(&node).await;
    })
    .await;
}

#[tokio::test]
async fn a_request_that_crosses_a_goodbye_goes_by_another_connection() {
    crate::raw::bounded(async {
        let fake = Fake::start(|number, mut connection| async move {
            connection.message().await;
            connection.send(OK).await;
            if connection.message().await.is_some() {
                // As if it had been sent before the request arrived: the far side cannot know.
                connection.send(if number == 0 { GOODBYE } else { OK }).await;
            }
        })
        .await;
        let node = dial(&fake.address, HttpConfig::default()).await;
        call(&node).await;
        call(&node).await;
    })
    .await;
}

#[tokio::test]
async fn a_goodbye_on_a_fresh_connection_means_never_started() {
    crate::raw::bounded(async {
        let fake = Fake::start(|_, mut connection| async move {
            connection.message().await;
            connection.send(GOODBYE).await;
        })
        .await;
        let node = dial(&fake.address, HttpConfig::default()).await;
        let error = within(node.handle(request("x"))).await.unwrap_err();
        assert!(error.is_never_started(), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_leaves_the_outcome_open() {
    crate::raw::bounded(async {
        let fake = Fake::start(|number, mut connection| async move {
            if number == 0 {
                connection.message().await;
                connection.send(OK).await;
            }
            connection.message().await;
        })
        .await;
        let node = dial(&fake.address, HttpConfig::default()).await;
        call(&node).await;
        for _ in 0..2 {
            let error = within(node.handle(request("x"))).await.unwrap_err();
            assert!(error.is_unanswered() && !error.is_never_started(), "{error}");
            assert!(error.detail().contains(&fake.address), "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_of_ours_says_goodbye() {
    crate::raw::bounded(async {
        let config = HttpConfig {
            limits: HttpLimits {
                idle_timeout: Duration::from_millis(30),
                ..HttpLimits::default()
            },
            ..HttpConfig::default()
        };
        let handler = handler_fn(|_: Request| async { Ok(Response::default()) });
        let server = listen(Arc::new(handler), config).await;
        let mut connection = Raw::connect(server.address()).await;
        within(connection.exchange("GET / HTTP/1.1\r\n\r\n")).await;
        let farewell = within(connection.message()).await.unwrap();
        assert_eq!(
            (farewell.status(), farewell.header("Micro-Goodbye")),
            (503, Some("idle"))
        );
        assert!(within(connection.message()).await.is_none());
    })
    .await;
}

#[tokio::test]
async fn calls_never_fail_while_the_far_side_keeps_closing_idle_connections() {
    crate::raw::bounded(async {
        let handled = Arc::new(AtomicUsize::new(0));
        let count = handled.clone();
        let handler = handler_fn(move |_: Request| {
            count.fetch_add(1, Ordering::SeqCst);
            async { Ok(Response::default()) }
        });
        let config = HttpConfig {
            limits: HttpLimits {
                idle_timeout: Duration::from_millis(3),
                ..HttpLimits::default()
            },
            ..HttpConfig::default()
        };
        let server = listen(Arc::new(handler), config).await;
        let node = dial(server.address(), HttpConfig::default()).await;
        for _ in 0..200 {
            call(&node).await;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        assert_eq!(
            handled.load(Ordering::SeqCst),
            200,
            "each was handled exactly once"
        );
    })
    .await;
}

#[tokio::test]
async fn an_early_refusal_is_heard_by_who_still_sends() {
    crate::raw::bounded(async {
        let config = HttpConfig {
            limits: HttpLimits {
                message_size: 1000,
                ..HttpLimits::default()
            },
            ..HttpConfig::default()
        };
        let server = listen(crate::greeter::handler(), config).await;
        let node = dial(server.address(), HttpConfig::default()).await;
        let error = within(node.handle(request(vec![0; 800 * 1024])))
            .await
            .unwrap_err();
        assert_eq!(error.code(), 413, "{error}");
        assert!(error.detail().contains("message_size"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn nobody_listening_means_never_started_and_says_where() {
    crate::raw::bounded(async {
        let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = unused.local_addr().unwrap().to_string();
        drop(unused);
        let node = dial(&address, HttpConfig::default()).await;
        let error = within(node.handle(request("x"))).await.unwrap_err();
        assert!(
            error.is_never_started() && error.detail().contains(&address),
            "{error}"
        );
    })
    .await;
}

#[tokio::test]
async fn idle_connections_close_when_their_node_leaves_the_registry_without_another_call() {
    crate::raw::bounded(async {
        for others_stay in [false, true] {
            let (gone, mut is_gone) = mpsc::channel(1);
            let fake = Fake::start(move |_, mut connection| {
                let gone = gone.clone();
                async move {
                    while connection.message().await.is_some() {
                        connection.send(OK).await;
                    }
                    let _ = gone.send(()).await;
                }
            })
            .await;
            let registry = Arc::new(MemoryRegistry::new());
            let record = |id: &str, address: &str| {
                let node = Node::new(id, address)
                    .with_metadata("protocol", "mucp")
                    .with_metadata("transport", "http");
                ServiceRecord::new("fake", "latest").with_nodes(vec![node])
            };
            let leaving = record("leaving", &fake.address);
            registry
                .register(&leaving, RegisterOptions::default())
                .await
                .unwrap();
            let transport = Arc::new(HttpTransport::new(HttpConfig::default()).unwrap());
            let client = Client::new(registry.clone(), transport);
            within(client.request(Request::new("fake", "Fake.Call", "x")))
                .await
                .unwrap();
            if others_stay {
                let staying = record("staying", "127.0.0.1:1");
                registry
                    .register(&staying, RegisterOptions::default())
                    .await
                    .unwrap();
            }
            registry.deregister(&leaving).await.unwrap();
            within(is_gone.recv()).await.unwrap();
        }
    })
    .await;
}
