//! Toxiproxy: a proxy whose trouble is ordered over HTTP.

use std::net::SocketAddr;

use serde_json::{Value, json};

/// Where toxiproxy takes orders.
const API: &str = "127.0.0.1:8474";

/// A proxy before a server. It is taken away by [`close`](Self::close).
pub(crate) struct Toxiproxy {
    name: String,
    pub(crate) address: SocketAddr,
}

impl Toxiproxy {
    /// Carries connections to a server.
    pub(crate) async fn open(name: &str, server: SocketAddr) -> Self {
        let order =
            json!({ "name": name, "listen": "127.0.0.1:0", "upstream": server.to_string(), "enabled": true });
        let made = ask("POST", "/proxies", &order).await;
        Self {
            name: name.to_owned(),
            address: made["listen"].as_str().unwrap().parse().unwrap(),
        }
    }

    /// Ends all connections and refuses new ones.
    pub(crate) async fn cut(&self) {
        self.enable(false).await;
    }

    pub(crate) async fn mend(&self) {
        self.enable(true).await;
    }

    async fn enable(&self, enabled: bool) {
        // The port is stated again, because this one must stay.
        let order = json!({ "enabled": enabled, "listen": self.address.to_string() });
        ask("POST", &format!("/proxies/{}", self.name), &order).await;
    }

    /// Delays each answer.
    pub(crate) async fn delay(&self, milliseconds: u64) {
        self.poison("latency", json!({ "latency": milliseconds })).await;
    }

    /// Carries nothing more, in either direction, and closes nothing.
    pub(crate) async fn silence(&self) {
        self.poison("timeout", json!({ "timeout": 0 })).await;
    }

    async fn poison(&self, kind: &str, attributes: Value) {
        for stream in ["upstream", "downstream"] {
            let name = format!("{kind}-{stream}");
            let order = json!({ "name": name, "type": kind, "stream": stream, "attributes": attributes });
            ask("POST", &format!("/proxies/{}/toxics", self.name), &order).await;
        }
    }

    /// Takes back a [`delay`](Self::delay) or a [`silence`](Self::silence).
    pub(crate) async fn cure(&self, kind: &str) {
        for stream in ["upstream", "downstream"] {
            let path = format!("/proxies/{}/toxics/{kind}-{stream}", self.name);
            ask("DELETE", &path, &Value::Null).await;
        }
    }

    pub(crate) async fn close(self) {
        ask("DELETE", &format!("/proxies/{}", self.name), &Value::Null).await;
    }
}

async fn ask(method: &str, path: &str, order: &Value) -> Value {
    let body = if order.is_null() {
        String::new()
    } else {
        order.to_string()
    };
    let answer = servers::http(API.parse().unwrap(), method, path, &body).await;
    let answer = answer.unwrap_or_else(|problem| {
        panic!("`cargo xtask backends up toxiproxy` starts what this test needs: {problem:#}")
    });
    serde_json::from_str(&answer).unwrap_or_default()
}
