//! The contract of sources, held to by a real etcd with a proxy before it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::Display;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicU32, Ordering};

use micro_config::{Error, ErrorKind, Result, Source, async_trait};
use micro_etcd_config::{EtcdServers, EtcdSource, EtcdSourceConfig};
use micro_testkit::config::Place;
use micro_testkit::proxy::Proxy;
use servers::etcd::in_base64;
use tokio::sync::Mutex;

/// One key that says the whole.
struct Key {
    server: SocketAddr,
    name: String,
    proxy: Mutex<Proxy>,
}

/// The etcd that `MICRO_ETCD` or `ETCD_ENDPOINTS` names, or else that of this machine.
fn server() -> SocketAddr {
    let named = ["MICRO_ETCD", "ETCD_ENDPOINTS"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    let named = named.unwrap_or_else(|| "127.0.0.1:2379".to_owned());
    let first = named.split(',').next().unwrap();
    let address = first.trim_start_matches("http://").to_socket_addrs();
    address.unwrap().next().unwrap()
}

async fn key() -> Result<Key> {
    static KEYS: AtomicU32 = AtomicU32::new(0);
    let number = KEYS.fetch_add(1, Ordering::Relaxed);
    let server = server();
    Ok(Key {
        server,
        name: format!("/conformance/{}-{number}", std::process::id()),
        proxy: Mutex::new(Proxy::open(server).await.map_err(|error| wrong(server, error))?),
    })
}

fn wrong(server: SocketAddr, problem: impl Display) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format_args!(
            "{server}: {problem:#}; these tests need an etcd: `cargo xtask backends up etcd` starts one, MICRO_ETCD names \
             another, and `--exclude micro-etcd-config` leaves them out"
        ),
    )
}

impl Key {
    /// Asks etcd's JSON gateway.
    async fn ask(&self, path: &str, value: Option<&str>) -> Result<()> {
        let key = in_base64(&self.name);
        let body = match value {
            Some(value) => format!(r#"{{"key":"{key}","value":"{}"}}"#, in_base64(value)),
            None => format!(r#"{{"key":"{key}"}}"#),
        };
        let asked = servers::http(self.server, "POST", path, &body).await;
        asked.map(drop).map_err(|error| wrong(self.server, error))
    }
}

#[async_trait]
impl Place for Key {
    async fn source(&self) -> Result<Box<dyn Source>> {
        let address = self.proxy.lock().await.address();
        let text = format!("//{address}{}", self.name);
        let config = EtcdSourceConfig::from_text(&text, EtcdServers::default())?;
        Ok(Box::new(EtcdSource::new(config)?))
    }

    async fn put(&self, text: &str) -> Result<()> {
        self.ask("/v3/kv/put", Some(text)).await
    }

    async fn remove(&self) -> Result<()> {
        self.ask("/v3/kv/deleterange", None).await
    }

    fn proxy(&self) -> Option<&Mutex<Proxy>> {
        Some(&self.proxy)
    }

    async fn clean(&self) {
        let _ = self.remove().await;
    }
}

micro_testkit::source_conformance!(key);
