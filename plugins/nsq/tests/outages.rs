//! What the broker lives through while its nsqd is away, with a proxy before a real one.

use std::net::SocketAddr;

use micro_core::Result;
use micro_nsq::{NsqBroker, NsqConfig};
use micro_testkit::proxy::Proxy;

/// A proxy before the nsqd that `MICRO_NSQ` names, or else that of this machine.
async fn stage() -> Result<(Proxy, ()), String> {
    let named = std::env::var("MICRO_NSQ").unwrap_or_else(|_| "127.0.0.1:4150".to_owned());
    let server: SocketAddr = named.parse().map_err(|_| {
        format!("MICRO_NSQ is {named:?}; these tests need one address and port, such as 127.0.0.1:4150")
    })?;
    let proxy = Proxy::open(server).await;
    Ok((proxy.map_err(|problem| problem.to_string())?, ()))
}

async fn connect(address: SocketAddr) -> Result<NsqBroker> {
    NsqBroker::connect(NsqConfig::from_addresses(&[address.to_string()])?).await
}

micro_testkit::broker_outages!(stage, connect);
