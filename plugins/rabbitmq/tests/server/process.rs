//! How it is told what went wrong.

use std::time::Duration;

use micro_core::ErrorKind;
use micro_core::broker::{Broker, Message};
use micro_rabbitmq::{RabbitmqBroker, RabbitmqConfig, RabbitmqServer};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

use crate::shared::{PATIENCE, at, connect, name, shared, subscribe};

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut config = at(address);
    config.server.connect_timeout = Duration::from_millis(300);
    let silent = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut said = Vec::new();
        // The connection is closed, and does not stay behind with the client's thread.
        stream.read_to_end(&mut said).await.unwrap();
        said
    };
    let both = async { tokio::join!(RabbitmqBroker::connect(config), silent) };
    let (connected, said) = timeout(PATIENCE, both).await.unwrap();
    let error = connected.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.detail().contains("connect_timeout"), "{error}");
    assert!(error.detail().contains(&address.port().to_string()), "{error}");
    assert_eq!(said, b"AMQP\0\0\x09\x01");
}

#[tokio::test]
async fn another_node_of_the_cluster_is_used_where_one_does_not_answer() {
    let config = RabbitmqConfig {
        server: RabbitmqServer {
            addresses: vec!["127.0.0.1:1".into(), shared().to_string()],
            ..RabbitmqServer::default()
        },
        ..RabbitmqConfig::default()
    };
    connect(config).await;
}

#[tokio::test]
async fn an_exchange_that_was_declared_otherwise_is_told() {
    let mut config = at(shared());
    config.exchange = Some("amq.direct".into());
    let error = RabbitmqBroker::connect(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.detail().contains("the exchange amq.direct"), "{error}");
}

#[tokio::test]
async fn a_queue_that_was_declared_otherwise_is_told() {
    let broker = connect(at(shared())).await;
    let (topic, queue) = (name("orders"), name("workers"));
    let _first = subscribe(&broker, &topic, Some(&queue)).await;
    let mut config = at(shared());
    config.durable.queues = true;
    let other = connect(config).await;
    let options = micro_core::broker::SubscribeOptions {
        queue: Some(queue.as_str().into()),
        ..Default::default()
    };
    let error = other.subscribe(&topic, options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    for words in [&topic, &queue] {
        assert!(error.detail().contains(words.as_str()), "{error}");
    }
}

#[tokio::test]
async fn publishing_while_nobody_is_there_ends_by_name_when_its_time_is_over() {
    let mut proxy = micro_testkit::proxy::Proxy::open(shared()).await.unwrap();
    let mut config = at(proxy.address());
    config.publish_timeout = Duration::from_millis(400);
    let broker = connect(config).await;
    proxy.cut().await;
    let begun = Instant::now();
    let error = broker.publish("orders", Message::new("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    for words in ["orders", "400ms", &proxy.address().port().to_string()] {
        assert!(error.detail().contains(words), "{words}: {error}");
    }
}
