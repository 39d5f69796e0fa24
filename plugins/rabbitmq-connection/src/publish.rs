//! A channel that many publish on at once.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, PublisherConfirm};
use micro_core::Result;

use crate::connection::Connection;

/// A channel that many publish on at once, each message with its own confirmation.
pub struct PublishChannel {
    channel: Channel,
    order: Mutex<()>,
}

impl PublishChannel {
    /// Opens one, and asks for confirmations if they are wanted.
    ///
    /// # Errors
    ///
    /// When the connection is lost, or RabbitMQ refuses.
    pub async fn open(connection: &Connection, confirms: bool) -> Result<Self> {
        let channel = connection.channel().await?;
        if confirms {
            channel
                .confirm_select(ConfirmSelectOptions::default())
                .await
                .map_err(|problem| connection.failed("asking for confirmations", &problem))?;
        }
        Ok(Self {
            channel,
            order: Mutex::new(()),
        })
    }

    /// The channel itself, for what is to be declared.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Whether it is open, as far as is known.
    pub fn is_usable(&self) -> bool {
        self.channel.status().connected()
    }

    /// Sends a message: it is queued when this is first polled, and written when this returns.
    ///
    /// # Errors
    ///
    /// When it was not written whole, because the channel or the connection ended.
    pub async fn publish(
        &self,
        exchange: ShortString,
        key: ShortString,
        options: BasicPublishOptions,
        body: &[u8],
        properties: BasicProperties,
    ) -> lapin::Result<PublisherConfirm> {
        let mut sending = pin!(
            self.channel
                .basic_publish(exchange, key, options, body, properties)
        );
        // The client numbers a message before it queues it, both when it is first polled. In between, another thread's
        // message would get ahead of it, and each take the other's confirmation for its own.
        let first = poll_fn(|context| {
            let _in_order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
            Poll::Ready(sending.as_mut().poll(context))
        });
        match first.await {
            Poll::Ready(sent) => sent,
            Poll::Pending => sending.await,
        }
    }
}
