//! The contract of sources, held to by a real Consul with a proxy before it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::Display;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicU32, Ordering};

use micro_config::{Error, ErrorKind, Result, Source, async_trait};
use micro_consul_config::{ConsulSource, ConsulSourceConfig};
use micro_testkit::config::Place;
use micro_testkit::proxy::Proxy;
use tokio::sync::Mutex;

/// One key that says the whole.
struct Key {
    server: SocketAddr,
    name: String,
    proxy: Mutex<Proxy>,
}

/// The Consul that `MICRO_CONSUL` or `CONSUL_HTTP_ADDR` names, or else that of this machine.
fn server() -> SocketAddr {
    let named = ["MICRO_CONSUL", "CONSUL_HTTP_ADDR"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    let named = named.unwrap_or_else(|| "127.0.0.1:8500".to_owned());
    let address = named.trim_start_matches("http://").to_socket_addrs();
    address.unwrap().next().unwrap()
}

async fn key() -> Result<Key> {
    static KEYS: AtomicU32 = AtomicU32::new(0);
    let number = KEYS.fetch_add(1, Ordering::Relaxed);
    let server = server();
    Ok(Key {
        server,
        name: format!("conformance/{}-{number}", std::process::id()),
        proxy: Mutex::new(Proxy::open(server).await.map_err(|error| wrong(server, error))?),
    })
}

fn wrong(server: SocketAddr, problem: impl Display) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format_args!(
            "{server}: {problem:#}; these tests need a Consul: `cargo xtask backends up consul` starts one, MICRO_CONSUL names \
             another, and `--exclude micro-consul-config` leaves them out"
        ),
    )
}

impl Key {
    async fn ask(&self, method: &str, query: &str, text: &str) -> Result<()> {
        let path = format!("/v1/kv/{}{query}", self.name);
        let asked = servers::http(self.server, method, &path, text).await;
        asked.map(drop).map_err(|error| wrong(self.server, error))
    }
}

#[async_trait]
impl Place for Key {
    async fn source(&self) -> Result<Box<dyn Source>> {
        let address = self.proxy.lock().await.address();
        let text = format!("//{address}/{}", self.name);
        let config = ConsulSourceConfig::from_text(&text, micro_consul_config::ConsulAgents::default())?;
        Ok(Box::new(ConsulSource::new(config)?))
    }

    async fn put(&self, text: &str) -> Result<()> {
        self.ask("PUT", "", text).await
    }

    async fn remove(&self) -> Result<()> {
        self.ask("DELETE", "", "").await
    }

    fn proxy(&self) -> Option<&Mutex<Proxy>> {
        Some(&self.proxy)
    }

    async fn clean(&self) {
        let _ = self.ask("DELETE", "?recurse", "").await;
    }
}

micro_testkit::source_conformance!(key);
