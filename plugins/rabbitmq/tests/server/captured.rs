//! What goes over the wire, byte by byte, as Go Micro 5.30 was captured.

use std::sync::{Arc, Mutex};

use micro_core::broker::{Broker, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::shared::{at, connect, name, next, shared, subscribe};

/// Notes what clients say to a server.
async fn eavesdrop(listener: TcpListener, said: Arc<Mutex<Vec<u8>>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let said = said.clone();
        connections.spawn(async move {
            let server = TcpStream::connect(shared()).await?;
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            let asking = async {
                let mut bytes = [0; 4096];
                loop {
                    let count = from_client.read(&mut bytes).await?;
                    if count == 0 {
                        return std::io::Result::Ok(());
                    }
                    said.lock().unwrap().extend(&bytes[..count]);
                    to_server.write_all(&bytes[..count]).await?;
                }
            };
            let answering = tokio::io::copy(&mut from_server, &mut to_client);
            tokio::select! {
                ended = asking => ended,
                ended = answering => ended.map(drop),
            }
        });
    }
}

/// A short text: its length and its bytes.
fn short(text: &str) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).unwrap()];
    bytes.extend(text.as_bytes());
    bytes
}

fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = short(name);
    bytes.push(b'S');
    bytes.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
    bytes.extend(value.as_bytes());
    bytes
}

#[tokio::test]
async fn methods_and_messages_are_go_micros() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let listening = tokio::spawn(eavesdrop(listener, said.clone()));
    let broker = connect(at(address)).await;
    let (topic, queue) = (name("notice"), name("workers"));
    let mut subscription = subscribe(&broker, &topic, Some(&queue)).await;
    let message = Message::new("{\"id\":\"n0\"}\n")
        .with_header("Content-Type", "application/json")
        .with_header("Micro-ID", "a17b728a-0c8d-4196-9f14-30cd789b8a22")
        .with_header("Micro-Topic", topic.as_str());
    broker.publish(&topic, message).await.unwrap();
    let event = next(&mut subscription).await;
    assert_eq!(event.message().header.get("Micro-Topic"), Some(topic.as_str()));
    listening.abort();

    let fields = [
        field("Content-Type", "application/json"),
        field("Micro-ID", "a17b728a-0c8d-4196-9f14-30cd789b8a22"),
        field("Micro-Topic", &topic),
    ]
    .concat();
    let rows: [(&str, Vec<Vec<u8>>); 5] = [
        (
            "exchange.declare",
            vec![
                vec![0, 40, 0, 10, 0, 0],
                short("micro"),
                short("topic"),
                vec![0; 5],
            ],
        ),
        (
            "queue.declare",
            vec![vec![0, 50, 0, 10, 0, 0], short(&queue), vec![8], vec![0; 4]],
        ),
        (
            "queue.bind",
            vec![
                vec![0, 50, 0, 20, 0, 0],
                short(&queue),
                short("micro"),
                short(&topic),
                vec![0; 5],
            ],
        ),
        (
            "basic.publish",
            vec![vec![0, 60, 0, 40, 0, 0], short("micro"), short(&topic), vec![0]],
        ),
        (
            "the head of a message",
            vec![
                vec![0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 0x20, 0],
                u32::try_from(fields.len()).unwrap().to_be_bytes().to_vec(),
                fields,
            ],
        ),
    ];
    let said = said.lock().unwrap();
    for (what, bytes) in rows {
        let bytes = bytes.concat();
        assert!(said.windows(bytes.len()).any(|window| window == bytes), "{what}");
    }
    let body = b"{\"id\":\"n0\"}\n";
    assert!(said.windows(body.len()).any(|window| window == body));
}
