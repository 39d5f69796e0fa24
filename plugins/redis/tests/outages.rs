//! What the broker lives through while its Redis is away, with a proxy before a real one.

use std::net::SocketAddr;

use micro_core::Result;
use micro_redis::{RedisBroker, RedisConfig};
use micro_testkit::proxy::Proxy;

/// A proxy before the Redis that `MICRO_REDIS` names, or else that of this machine.
async fn stage() -> Result<(Proxy, ()), String> {
    let named = std::env::var("MICRO_REDIS").unwrap_or_else(|_| "127.0.0.1:6379".to_owned());
    let bare = named.trim_start_matches("redis://");
    let server: SocketAddr = bare.parse().map_err(|_| {
        format!("MICRO_REDIS is {named:?}; these tests need one address and port, such as 127.0.0.1:6379")
    })?;
    let proxy = Proxy::open(server).await;
    Ok((proxy.map_err(|problem| problem.to_string())?, ()))
}

async fn connect(address: SocketAddr, pub_sub: bool) -> Result<RedisBroker> {
    let config = RedisConfig::from_addresses(&[address.to_string()])?;
    RedisBroker::connect(RedisConfig { pub_sub, ..config }).await
}

mod streams {
    use super::*;

    micro_testkit::broker_outages!(stage, |address| connect(address, false));
}
