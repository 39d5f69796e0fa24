//! The servers, one file each: how each is asked, installed and started.

pub(super) mod consul;
pub(super) mod etcd;
pub(super) mod kafka;
pub(super) mod kubernetes;
pub(super) mod nats;
pub(super) mod nsq;
pub(super) mod rabbitmq;
pub(super) mod redis;
pub(super) mod toxiproxy;
pub(super) mod zookeeper;
