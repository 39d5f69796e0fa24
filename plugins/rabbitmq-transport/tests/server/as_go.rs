//! Peers that speak as Go Micro's transport does, and know nothing of what this crate adds.

use futures_util::{StreamExt, stream};
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use micro_core::handler::{CallKind, handler_fn};
use micro_core::{Body, Request, Response, Transport};
use std::sync::Arc;
use tokio::time::timeout;

use crate::shared::{PATIENCE, at, call, connect, dial, echo, shared};

async fn channel() -> (Connection, Channel) {
    let uri = format!("amqp://guest:guest@{}/%2f", shared());
    let connection = Connection::connect(&uri, ConnectionProperties::default())
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

async fn queue(channel: &Channel, name: &str) -> Consumer {
    let options = QueueDeclareOptions {
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let table = FieldTable::default;
    channel
        .queue_declare(name.into(), options, table())
        .await
        .unwrap();
    let unacknowledged = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    channel
        .basic_consume(name.into(), "".into(), unacknowledged, table())
        .await
        .unwrap()
}

fn properties(id: &str, headers: &[(&str, &str)]) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert((*name).into(), AMQPValue::LongString((*value).into()));
    }
    BasicProperties::default()
        .with_correlation_id(id.into())
        .with_headers(table)
}

async fn send(channel: &Channel, exchange: &str, key: &str, properties: BasicProperties, body: &[u8]) {
    let options = BasicPublishOptions::default();
    channel
        .basic_publish(exchange.into(), key.into(), options, body, properties)
        .await
        .unwrap();
}

async fn next(consumer: &mut Consumer) -> Delivery {
    timeout(PATIENCE, consumer.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap()
}

fn header(delivery: &Delivery, name: &str) -> Option<String> {
    let headers = delivery.properties.headers().as_ref()?;
    match headers.inner().get(name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        other => panic!("{other:?}"),
    }
}

const CALL: [(&str, &str); 6] = [
    ("Accept", "application/json"),
    ("Content-Type", "application/json"),
    ("Micro-Endpoint", "Greeter.Hello"),
    ("Micro-Method", "Greeter.Hello"),
    ("Micro-Service", "greeter"),
    ("Micro-ID", "7"),
];

#[tokio::test]
async fn a_caller_in_go_is_answered() {
    let transport = connect(at(shared())).await;
    let listener = transport.listen(":0", echo()).await.unwrap();
    let (_connection, channel) = channel().await;
    let replies = format!("replyTo-{}", uuid::Uuid::new_v4());
    let mut consumer = queue(&channel, &replies).await;
    // One id for all calls of a connection.
    for body in ["{}", "[]"] {
        let request = properties("connection-1", &CALL).with_reply_to(replies.as_str().into());
        send(&channel, "micro", listener.address(), request, body.as_bytes()).await;
        let answer = next(&mut consumer).await;
        assert_eq!(answer.data, body.as_bytes());
        assert_eq!(
            answer.properties.correlation_id().as_ref().unwrap().as_str(),
            "connection-1"
        );
        assert_eq!(header(&answer, "Content-Type").unwrap(), "application/json");
        assert_eq!(header(&answer, "Micro-ID").unwrap(), "7");
    }
}

#[tokio::test]
async fn a_caller_in_go_gets_the_messages_of_a_stream_and_nothing_else() {
    let transport = connect(at(shared())).await;
    let counts = handler_fn(|_| async {
        let messages = (0..200).map(|number: u32| Ok(number.to_string().into()));
        Ok(Response::new(Body::stream(stream::iter(messages))))
    });
    let listener = transport.listen(":0", Arc::new(counts)).await.unwrap();
    let (_connection, channel) = channel().await;
    let replies = format!("replyTo-{}", uuid::Uuid::new_v4());
    let mut consumer = queue(&channel, &replies).await;
    let mut headers = CALL.to_vec();
    headers.push(("Micro-Stream", "7"));
    let request = properties("connection-1", &headers).with_reply_to(replies.as_str().into());
    send(&channel, "micro", listener.address(), request, b"").await;
    for number in 0..200 {
        let message = next(&mut consumer).await;
        assert_eq!(message.data, number.to_string().as_bytes());
        assert_eq!(header(&message, "Micro-Stream").unwrap(), "7");
    }
    assert_eq!(header(&next(&mut consumer).await, "Micro-Error").unwrap(), "EOS");
}

/// Serves at an address: gives each message to `answer`, and sends what that returns.
async fn serve(
    address: String,
    answer: impl Fn(&Delivery) -> Vec<(Vec<(&'static str, String)>, Vec<u8>)> + Send + 'static,
) -> tokio::task::JoinHandle<()> {
    let (connection, channel) = channel().await;
    let mut consumer = queue(&channel, &address).await;
    let name = address.as_str();
    let bind = channel.queue_bind(
        name.into(),
        "micro".into(),
        name.into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    bind.await.unwrap();
    tokio::spawn(async move {
        let _connection = connection;
        while let Some(Ok(delivery)) = consumer.next().await {
            for (headers, body) in answer(&delivery) {
                let headers: Vec<_> = headers
                    .iter()
                    .map(|(name, value)| (*name, value.as_str()))
                    .collect();
                let id = delivery.properties.correlation_id().as_ref().unwrap().as_str();
                let reply_to = delivery.properties.reply_to().as_ref().unwrap().as_str();
                send(&channel, "", reply_to, properties(id, &headers), &body).await;
            }
        }
    })
}

#[tokio::test]
async fn a_server_in_go_is_called() {
    let transport = connect(at(shared())).await;
    let address = uuid::Uuid::new_v4().to_string();
    let (cancelled, mut was_cancelled) = tokio::sync::mpsc::channel(1);
    let serving = serve(address.clone(), move |delivery| {
        if header(delivery, "Micro-Error").is_some_and(|text| text == "EOS") {
            let _ = cancelled.try_send(());
            return Vec::new();
        }
        assert_eq!(header(delivery, "Micro-Endpoint").unwrap(), "Kit.Call");
        assert_eq!(header(delivery, "Micro-Service").unwrap(), "kit");
        assert!(header(delivery, "Micro-ID").is_some() && header(delivery, "Micro-Stream").is_none());
        assert!(
            delivery
                .properties
                .reply_to()
                .as_ref()
                .unwrap()
                .as_str()
                .starts_with("replyTo-")
        );
        match &delivery.data[..] {
            b"fail" => vec![(
                vec![("Micro-Error", r#"{"id":"kit","code":409,"detail":"no"}"#.into())],
                Vec::new(),
            )],
            body => vec![(vec![("Content-Type", "application/json".into())], body.to_vec())],
        }
    });
    let serving = serving.await;
    let peer = dial(&transport, &address).await;
    assert_eq!(call(&peer, "hello").await.unwrap(), "hello");
    // It is told that nothing more comes of that id.
    timeout(PATIENCE, was_cancelled.recv()).await.unwrap().unwrap();
    let error = call(&peer, "fail").await.unwrap_err();
    assert_eq!((error.code(), error.detail()), (409, "no"));
    serving.abort();
}

#[tokio::test]
async fn a_server_in_go_that_sends_without_end_is_cut_by_name() {
    let transport = connect(at(shared())).await;
    let address = uuid::Uuid::new_v4().to_string();
    let serving = serve(address.clone(), |delivery| {
        let message = (vec![("Micro-Stream", "0".to_owned())], vec![0; 10]);
        match header(delivery, "Micro-Error") {
            None => vec![message; 3000],
            Some(_) => Vec::new(),
        }
    });
    let serving = serving.await;
    let peer = dial(&transport, &address).await;
    let mut request = Request::new("kit", "Kit.Call", Body::stream(stream::pending()));
    request.kind = CallKind::Stream;
    let mut body = peer.handle(request).await.unwrap().body;
    // Time for it to send more than is kept: the far side is done when another call to RabbitMQ is.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let ended = async {
        loop {
            match body.message().await {
                Some(Ok(_)) => {}
                other => return other,
            }
        }
    };
    let error = timeout(PATIENCE, ended).await.unwrap().unwrap().unwrap_err();
    assert!(
        error.code() == 413 && error.detail().contains("window"),
        "{error}"
    );
    serving.abort();
}
