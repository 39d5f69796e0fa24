//! Asking the directories which nsqds have a topic.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use micro_core::backend::in_one_line;
use micro_core::{Error, Result};
use serde::Deserialize;
use tokio::time::timeout;

use crate::error;

/// How many bytes an answer may have, and how many nsqds it may name.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;
const MOST_NSQDS: usize = 256;
/// How long a connection is kept for the next question.
const KEPT_FOR: Duration = Duration::from_secs(30);

pub(crate) struct Directories {
    http: Client<HttpConnector, Empty<Bytes>>,
    addresses: Vec<String>,
    timeout: Duration,
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    producers: Vec<Nsqd>,
}

#[derive(Deserialize)]
struct Nsqd {
    broadcast_address: String,
    tcp_port: u16,
}

impl Directories {
    pub(crate) fn new(addresses: Vec<String>, connect_timeout: Duration, timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(connect_timeout));
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT_FOR)
            .pool_max_idle_per_host(1)
            .build(connector);
        Self {
            http,
            addresses,
            timeout,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// All nsqds that have the topic, as all directories together know them.
    ///
    /// # Errors
    ///
    /// When no directory answers.
    pub(crate) async fn look_up(&self, topic: &str) -> Result<BTreeSet<String>> {
        let asked = self.addresses.iter().map(|address| self.ask(address, topic));
        let mut found = BTreeSet::new();
        let (mut answers, mut problem) = (0, None);
        for answer in futures_util::future::join_all(asked).await {
            match answer {
                Ok(nsqds) => {
                    answers += 1;
                    found.extend(nsqds);
                }
                Err(error) => {
                    tracing::debug!("a directory is not used: {error}");
                    problem = Some(error);
                }
            }
        }
        match problem {
            Some(problem) if answers == 0 => Err(problem),
            _ => Ok(found.into_iter().take(MOST_NSQDS).collect()),
        }
    }

    async fn ask(&self, address: &str, topic: &str) -> Result<Vec<String>> {
        let answer = timeout(self.timeout, self.exchange(address, topic)).await;
        answer.unwrap_or_else(|_| Err(error::silent(address, self.timeout)))
    }

    async fn exchange(&self, address: &str, topic: &str) -> Result<Vec<String>> {
        let topic = topic.replace('#', "%23");
        let request = Request::get(format!("{address}/lookup?topic={topic}"))
            .header("accept", "application/vnd.nsq; version=1.0")
            .body(Empty::new())
            .map_err(error::misconfigured)?;
        let answer = self.http.request(request).await;
        let answer = answer.map_err(|problem| broken(address, &problem))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await;
        let body = body.map_err(|problem| broken(address, &*problem))?.to_bytes();
        if status == StatusCode::NOT_FOUND {
            // Nobody has published to it yet.
            return Ok(Vec::new());
        }
        if !status.is_success() {
            let said = in_one_line(&body);
            return Err(error::unreachable(address, format_args!("{status}: {said}")));
        }
        read(&body).map_err(|problem| {
            error::unexpected(address, format_args!("answered what cannot be read ({problem})"))
        })
    }
}

fn broken(address: &str, problem: &(dyn std::error::Error + 'static)) -> Error {
    let cause = micro_core::error::first_cause(problem);
    error::unreachable(address, format_args!("{problem}: {cause}"))
}

fn read(body: &[u8]) -> Result<Vec<String>, serde_json::Error> {
    let found: Found = serde_json::from_slice(body)?;
    let address = |nsqd: Nsqd| match nsqd.broadcast_address.contains(':') {
        true => format!("[{}]:{}", nsqd.broadcast_address, nsqd.tcp_port),
        false => format!("{}:{}", nsqd.broadcast_address, nsqd.tcp_port),
    };
    Ok(found.producers.into_iter().map(address).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nsqds_of_an_answer_are_read() {
        let answer = br#"{"channels":["q1"],"producers":[
            {"remote_address":"127.0.0.1:41352","hostname":"vm","broadcast_address":"192.0.2.7","tcp_port":4150,
             "http_port":4151,"version":"1.3.0"},
            {"broadcast_address":"::1","tcp_port":5}]}"#;
        assert_eq!(read(answer).unwrap(), ["192.0.2.7:4150", "[::1]:5"]);
        assert!(read(br#"{"producers":[]}"#).unwrap().is_empty());
        assert!(read(b"{}").unwrap().is_empty());
        assert!(read(b"OK").is_err());
    }
}
