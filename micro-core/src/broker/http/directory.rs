//! Who is subscribed to what, kept fresh by a watch of the registry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::{BROADCAST, SERVICE};
use crate::codec::JSON;
use crate::error::BROKER;
use crate::registry::{Node, RegistryCache, RegistryCacheOptions, Snapshot};
use crate::transport::HttpTransport;
use crate::transport::http::Post;
use crate::{Error, ErrorKind, Registry, Result, Text};

pub(super) struct Directory {
    cache: RegistryCache,
    plain: HttpTransport,
    encrypted: Option<HttpTransport>,
    view: Mutex<Arc<View>>,
}

/// A snapshot of the registry, by topic.
#[derive(Default)]
struct View {
    generation: u64,
    topics: HashMap<Text, Arc<Audience>>,
    subscribers: HashMap<Text, Arc<Subscriber>>,
}

/// The subscribers of a topic.
#[derive(Default, Clone)]
pub(super) struct Audience {
    /// Each gets every message.
    pub(super) everyone: Vec<Arc<Subscriber>>,
    /// One of each gets every message.
    pub(super) queues: HashMap<Text, Vec<Arc<Subscriber>>>,
}

/// A subscription somewhere, and the connections to it.
pub(super) struct Subscriber {
    pub(super) id: Text,
    node: Arc<Node>,
    target: String,
    post: Result<Post>,
}

/// What became of a message that was posted.
pub(super) enum Attempt {
    Taken,
    /// The subscriber did not take it, or nobody knows; it may be offered again, here or elsewhere.
    NotTaken(Error),
    /// The subscriber will never take it.
    Refused(Error),
}

impl Directory {
    /// Subscribers that speak TLS are posted to by the encrypted transport.
    pub(super) fn new(
        registry: Arc<dyn Registry>,
        plain: HttpTransport,
        encrypted: Option<HttpTransport>,
    ) -> Self {
        Self {
            cache: RegistryCache::new(registry, RegistryCacheOptions::default()),
            plain,
            encrypted,
            view: Mutex::default(),
        }
    }

    /// The subscribers of a topic; `None` without any.
    pub(super) async fn audience(&self, topic: &str) -> Result<Option<Arc<Audience>>> {
        let snapshot = match self.cache.snapshot(SERVICE).await {
            Ok(snapshot) => snapshot,
            Err(error) if error.kind() == ErrorKind::NotFound => Snapshot::empty(),
            Err(error) => return Err(error),
        };
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if view.generation != snapshot.generation() {
            *view = Arc::new(self.look(&snapshot, &view.subscribers));
        }
        Ok(view.topics.get(topic).cloned())
    }

    /// Sorts a snapshot by topic. Who did not change keeps their connections.
    fn look(&self, snapshot: &Snapshot, known: &HashMap<Text, Arc<Subscriber>>) -> View {
        let mut audiences: HashMap<Text, Audience> = HashMap::new();
        let mut subscribers = HashMap::new();
        for (record, node) in snapshot.nodes() {
            let metadata = |key: &str| node.metadata.get(key).map(String::as_str);
            let Some(topic) = metadata("topic").filter(|_| metadata("broker") == Some("http")) else {
                continue;
            };
            let kept = known
                .get(node.id.as_str())
                .filter(|known| Arc::ptr_eq(&known.node, node));
            let subscriber = kept.cloned().unwrap_or_else(|| Arc::new(self.dial(node)));
            subscribers.insert(subscriber.id.clone(), subscriber.clone());
            let audience = audiences.entry(topic.into()).or_default();
            if record.version == BROADCAST {
                audience.everyone.push(subscriber);
            } else {
                let queue = audience.queues.entry(record.version.as_str().into());
                queue.or_default().push(subscriber);
            }
        }
        View {
            generation: snapshot.generation(),
            topics: audiences
                .into_iter()
                .map(|(topic, audience)| (topic, Arc::new(audience)))
                .collect(),
            subscribers,
        }
    }

    fn dial(&self, node: &Arc<Node>) -> Subscriber {
        let is_secure = node.metadata.get("secure").is_some_and(|secure| secure == "true");
        let transport = match (is_secure, &self.encrypted) {
            (false, _) => Ok(&self.plain),
            (true, Some(encrypted)) => Ok(encrypted),
            (true, None) => Err(Error::bad_request(
                BROKER,
                format!(
                    "{} at {} speaks TLS; give this broker HttpBrokerConfig::http with tls",
                    node.id, node.address
                ),
            )),
        };
        Subscriber {
            id: node.id.as_str().into(),
            node: node.clone(),
            target: format!("/?id={}", percent_encoded(&node.id)),
            post: transport.and_then(|transport| transport.post(&node.address)),
        }
    }
}

impl Subscriber {
    /// Posts a message once. Dropping the future closes the connection it used.
    pub(super) async fn offer(&self, payload: &[u8], limit: Duration) -> Attempt {
        let post = match &self.post {
            Ok(post) => post,
            Err(error) => return Attempt::NotTaken(Error::unavailable(BROKER, error.detail().to_owned())),
        };
        let answer = timeout(limit, post.send(&self.target, &JSON, payload)).await;
        let failed = |problem: String| {
            Error::unavailable(
                BROKER,
                format!("subscriber {} at {} {problem}", self.id, post.address()),
            )
        };
        match answer {
            Err(_) => Attempt::NotTaken(failed(format!("did not handle the message within {limit:?}"))),
            Ok(Err(error)) => Attempt::NotTaken(failed(format!("cannot be reached: {}", error.detail()))),
            Ok(Ok(posted)) => match posted.status {
                200..300 => Attempt::Taken,
                // Gone, or going: its message is for another.
                404 | 503 => Attempt::NotTaken(failed(format!("answered HTTP status {}", posted.status))),
                status => {
                    let said = posted.body.get(..512).unwrap_or(&posted.body);
                    let said = String::from_utf8_lossy(said);
                    Attempt::Refused(failed(format!("answered HTTP status {status}: {}", said.trim())))
                }
            },
        }
    }
}

/// All but letters, digits and `-._~` as `%XX`.
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_into_a_url_as_go_writes_it() {
        assert_eq!(percent_encoded("orders.new-1d31a560"), "orders.new-1d31a560");
        assert_eq!(percent_encoded("a b&c=ü/"), "a%20b%26c%3D%C3%BC%2F");
    }
}
