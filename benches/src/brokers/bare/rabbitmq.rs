//! lapin.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind};
use tokio::task::JoinSet;

use super::super::CONCURRENCY;
use super::super::side::{Handled, Publish, handle};

const EXCHANGE: &str = "bench";
/// Messages are written to disk.
const PERSISTENT: u8 = 2;

pub(crate) struct Lapin {
    channel: Channel,
    topic: ShortString,
    _connection: Connection,
    _handling: JoinSet<()>,
}

impl Publish for Lapin {
    async fn publish(&self, body: Bytes) -> Result<()> {
        let confirmation = self
            .channel
            .basic_publish(
                EXCHANGE.into(),
                self.topic.clone(),
                BasicPublishOptions::default(),
                &body,
                BasicProperties::default().with_delivery_mode(PERSISTENT),
            )
            .await?
            .await?;
        ensure!(
            matches!(confirmation, Confirmation::Ack(None)),
            "RabbitMQ refuses: {confirmation:?}"
        );
        Ok(())
    }
}

pub(crate) async fn start(server: SocketAddr, topic: &str, handled: Handled) -> Result<Lapin> {
    let connection =
        Connection::connect(&format!("amqp://{server}/%2f"), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let (topic, none) = (ShortString::from(topic), FieldTable::default);
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    channel
        .exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, durable, none())
        .await?;
    let consuming = connection.create_channel().await?;
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    consuming.queue_declare(topic.clone(), durable, none()).await?;
    consuming
        .queue_bind(
            topic.clone(),
            EXCHANGE.into(),
            topic.clone(),
            QueueBindOptions::default(),
            none(),
        )
        .await?;
    consuming
        .basic_qos(u16::try_from(CONCURRENCY)?, BasicQosOptions::default())
        .await?;
    let deliveries = consuming
        .basic_consume(
            topic.clone(),
            "bench".into(),
            BasicConsumeOptions::default(),
            none(),
        )
        .await?;
    let mut handling = JoinSet::new();
    handling.spawn(deliveries.for_each_concurrent(CONCURRENCY, move |delivery| {
        let handled = handled.clone();
        async move {
            let Ok(delivery) = delivery else { return };
            handle(&handled, &delivery.data);
            let _ = delivery.ack(BasicAckOptions::default()).await;
        }
    }));
    Ok(Lapin {
        channel,
        topic,
        _connection: connection,
        _handling: handling,
    })
}
