//! An agent that answers what a real one would not, or only in moments that no test can wait for.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_config::{ErrorKind, Source};
use micro_consul_config::ConsulSource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::consul::{PATIENCE, config_at};

/// Status and index, and the body, for the request of this number. None: nothing, ever.
type Answers = fn(usize) -> Option<(&'static str, &'static str)>;

struct Fake {
    address: SocketAddr,
    /// The first lines of all requests.
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Fake {
    async fn start(answers: Answers) -> Self {
        Self::slow(Duration::ZERO, answers).await
    }

    /// Each answer takes its time.
    async fn slow(delay: Duration, answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::default());
        let noted = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let noted = Arc::clone(&noted);
                connections.spawn(async move {
                    let mut request = Vec::new();
                    while stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
                        if !request.ends_with(b"\r\n\r\n") {
                            continue;
                        }
                        let text = String::from_utf8(std::mem::take(&mut request)).unwrap();
                        let number = {
                            let mut noted: std::sync::MutexGuard<'_, Vec<String>> = noted.lock().unwrap();
                            noted.push(text.lines().next().unwrap().to_owned());
                            noted.len() - 1
                        };
                        let Some((head, body)) = answers(number) else {
                            return std::future::pending().await;
                        };
                        sleep(delay).await;
                        let length = body.len();
                        let answer = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n{body}");
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, asked, task }
    }

    fn source(&self) -> ConsulSource {
        ConsulSource::new(config_at(vec![self.address.to_string()], "shop/")).unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const ONE: &str = r#"[{"Key":"shop/a","Value":"MQ==","Flags":0}]"#;

#[tokio::test]
async fn an_index_that_goes_backwards_is_begun_from_nothing() {
    let fake = Fake::start(|number| match number {
        0 => Some(("200 OK\r\nx-consul-index: 70", ONE)),
        1 => Some(("200 OK\r\nx-consul-index: 7", ONE)),
        2 => Some(("200 OK\r\nx-consul-index: 0", ONE)),
        _ => None,
    })
    .await;
    let mut source = fake.source();
    source.read().await.unwrap();
    timeout(PATIENCE, source.changed()).await.unwrap().unwrap();
    // Whoever reads now learns another index; whoever waits on begins from nothing.
    source.read().await.unwrap();
    assert!(
        timeout(Duration::from_millis(300), source.changed())
            .await
            .is_err()
    );
    let asked = fake.asked();
    assert!(asked[1].contains("index=70&wait=15s"), "{asked:?}");
    assert!(
        asked[3].contains("index=1&wait"),
        "waiting for more than 0 is answered at once: {asked:?}"
    );
}

#[tokio::test]
async fn answers_without_anything_new_cost_little() {
    let fake = Fake::start(|_| Some(("200 OK\r\nx-consul-index: 7", ONE))).await;
    let mut source = fake.source();
    source.read().await.unwrap();
    assert!(timeout(Duration::from_secs(1), source.changed()).await.is_err());
    let asked = fake.asked().len();
    assert!(asked < 10, "{asked} requests within a second");
}

#[tokio::test]
async fn an_agent_that_is_slow_to_answer_is_waited_at_and_not_asked_without_end() {
    let fake = Fake::slow(Duration::from_millis(150), |number| match number {
        0 => Some(("200 OK\r\nx-consul-index: 7", ONE)),
        _ => None,
    })
    .await;
    let mut source = fake.source();
    source.read().await.unwrap();
    assert!(timeout(Duration::from_secs(1), source.changed()).await.is_err());
    let asked = fake.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[1].contains("index=7&wait"), "{asked:?}");
}

#[tokio::test]
async fn what_consul_does_not_say_is_an_error_and_never_a_value() {
    let rows: [(Answers, ErrorKind, &str); 7] = [
        (|_| Some(("200 OK", ONE)), ErrorKind::Unavailable, "no index"),
        (
            |_| Some(("200 OK\r\nx-consul-index: 7", "<html>")),
            ErrorKind::Unavailable,
            "cannot be read",
        ),
        (
            |_| Some(("200 OK\r\nx-consul-index: 7", r#"[{"Key":"shop/a","Value":"?"}]"#)),
            ErrorKind::Unavailable,
            "shop/a",
        ),
        (
            |_| {
                Some((
                    "200 OK\r\nx-consul-index: 7",
                    r#"[{"Key":"shop/a","Value":"/w=="}]"#,
                ))
            },
            ErrorKind::Invalid,
            "shop/a",
        ),
        (
            |_| Some(("200 OK\r\nx-consul-index: 7", "[]")),
            ErrorKind::Missing,
            "shop/",
        ),
        (
            |_| Some(("404 Not Found", "no such page")),
            ErrorKind::Unavailable,
            "404",
        ),
        (
            |_| Some(("500 Internal Server Error", "No cluster leader")),
            ErrorKind::Unavailable,
            "leader",
        ),
    ];
    for (answers, kind, said) in rows {
        let fake = Fake::start(answers).await;
        let error = fake.source().read().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[tokio::test]
async fn a_silent_agent_is_not_waited_for_longer_than_the_timeout() {
    let fake = Fake::start(|_| None).await;
    let mut config = config_at(vec![fake.address.to_string()], "shop/");
    config.agents.request_timeout = Duration::from_millis(300);
    let mut source = ConsulSource::new(config).unwrap();
    let error = timeout(PATIENCE, source.read()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("request_timeout"), "{error}");
}

#[tokio::test]
async fn datacenter_and_namespace_are_asked_for() {
    let fake = Fake::start(|_| Some(("200 OK\r\nx-consul-index: 7", ONE))).await;
    let mut config = config_at(vec![fake.address.to_string()], "/shop/app");
    config.agents.datacenter = Some("north".into());
    config.agents.namespace = Some("team a".into());
    let _ = ConsulSource::new(config).unwrap().read().await;
    assert_eq!(
        fake.asked(),
        ["GET /v1/kv/shop/app?recurse=true&dc=north&ns=team%20a HTTP/1.1"]
    );
}
