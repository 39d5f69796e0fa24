//! The bare client libraries, used as their documentation shows.

mod kafka;
mod nats;
mod rabbitmq;
mod redis;

pub(super) use self::kafka::start as kafka;
pub(super) use self::nats::{start as nats, start_plain as nats_plain};
pub(super) use self::rabbitmq::start as rabbitmq;
pub(super) use self::redis::start as redis;
