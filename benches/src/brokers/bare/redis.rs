//! redis.

use std::net::SocketAddr;

use anyhow::Result;
use bytes::Bytes;
use futures_util::future::join_all;
use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;

use super::super::CONCURRENCY;
use super::super::side::{Handled, Publish, handle};

const GROUP: &str = "workers";

pub(crate) struct Redis {
    commands: MultiplexedConnection,
    topic: String,
    _handling: JoinSet<()>,
}

impl Publish for Redis {
    async fn publish(&self, body: Bytes) -> Result<()> {
        let mut add = redis::cmd("XADD");
        add.arg(&self.topic).arg("*").arg("body").arg(&body[..]);
        add.exec_async(&mut self.commands.clone()).await?;
        Ok(())
    }
}

pub(crate) async fn start(server: SocketAddr, topic: &str, handled: Handled) -> Result<Redis> {
    let client = redis::Client::open(format!("redis://{server}"))?;
    let commands = client.get_multiplexed_async_connection().await?;
    redis::cmd("XGROUP")
        .arg(&["CREATE", topic, GROUP, "$", "MKSTREAM"])
        .exec_async(&mut commands.clone())
        .await?;
    // What blocks needs a connection of its own.
    let reading = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let reading = client
        .get_multiplexed_async_connection_with_config(&reading)
        .await?;
    let mut handling = JoinSet::new();
    handling.spawn(read(reading, commands.clone(), topic.to_owned(), handled));
    Ok(Redis {
        commands,
        topic: topic.to_owned(),
        _handling: handling,
    })
}

async fn read(
    mut reading: MultiplexedConnection,
    commands: MultiplexedConnection,
    topic: String,
    handled: Handled,
) {
    let mut read = redis::cmd("XREADGROUP");
    read.arg("GROUP")
        .arg(GROUP)
        .arg("me")
        .arg("COUNT")
        .arg(CONCURRENCY);
    read.arg("BLOCK").arg(1000).arg("STREAMS").arg(&topic).arg(">");
    loop {
        let Ok(answer) = read.query_async::<Value>(&mut reading).await else {
            return;
        };
        let handled = entries(&answer).into_iter().map(|(id, body)| {
            handle(&handled, body);
            let mut acknowledge = redis::cmd("XACK");
            acknowledge.arg(&topic).arg(GROUP).arg(id);
            acknowledge
        });
        let acknowledged = handled.map(|acknowledge| {
            let mut commands = commands.clone();
            async move { acknowledge.exec_async(&mut commands).await }
        });
        let acknowledged: Vec<_> = acknowledged.collect();
        join_all(acknowledged).await;
    }
}

/// The ids and bodies of `[[topic, [[id, ["body", body]], …]]]`.
fn entries(answer: &Value) -> Vec<(&[u8], &[u8])> {
    let entries = items(answer).first().and_then(|stream| items(stream).get(1));
    let entry = |entry| match items(entry) {
        [Value::BulkString(id), fields] => match items(fields) {
            [_, Value::BulkString(body)] => Some((&id[..], &body[..])),
            _ => None,
        },
        _ => None,
    };
    entries.map_or(&[][..], items).iter().filter_map(entry).collect()
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        _ => &[],
    }
}
