//! A server that plays tricks: it forgets versions, ends watches and tells nonsense.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_config::{ErrorKind, Source};
use micro_kubernetes_config::{KubernetesServer, KubernetesSource, KubernetesSourceConfig, ObjectKind};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::soon::{failure, follow, read, soon, until};

/// What it answers to the requests, in turn; the last one again and again.
struct Tricks {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
enum Answer {
    Whole(u16, String),
    /// Events after each other, and then the end after this long; None: silence.
    Events(Vec<String>, Option<Duration>),
}

impl Tricks {
    async fn play(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = asked.clone();
        let task = tokio::spawn(async move {
            let mut open = Vec::new();
            let mut turn = 0;
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..length]);
                noted
                    .lock()
                    .unwrap()
                    .push(request.lines().next().unwrap_or_default().to_owned());
                answers[turn.min(answers.len() - 1)].write(&mut stream).await;
                turn += 1;
                open.push(stream);
            }
        });
        Self { address, asked, task }
    }

    fn source(&self, kind: ObjectKind) -> KubernetesSource {
        let server = KubernetesServer {
            request_timeout: Duration::from_secs(2),
            ..KubernetesServer::new(&self.address)
        };
        let config = KubernetesSourceConfig {
            kind,
            ..KubernetesSourceConfig::new(server)
        };
        KubernetesSource::new(config).unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Tricks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Answer {
    async fn write(&self, stream: &mut TcpStream) {
        let (text, end) = match self {
            Self::Whole(status, body) => {
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} Status\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                (format!("{head}{body}"), None)
            }
            Self::Events(events, end) => {
                let mut text = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
                for event in events {
                    text.push_str(&format!("{:x}\r\n{event}\n\r\n", event.len() + 1));
                }
                (text, *end)
            }
        };
        let _ = stream.write_all(text.as_bytes()).await;
        if let Some(end) = end {
            sleep(end).await;
            let _ = stream.write_all(b"0\r\n\r\n").await;
        }
    }
}

fn object(value: &str, version: u32) -> String {
    let metadata = json!({"name": "micro", "resourceVersion": version.to_string()});
    json!({"metadata": metadata, "data": {"a": value}}).to_string()
}

fn list(objects: &[String], version: u32) -> Answer {
    let objects = objects.join(",");
    let text = format!(r#"{{"metadata":{{"resourceVersion":"{version}"}},"items":[{objects}]}}"#);
    Answer::Whole(200, text)
}

fn event(kind: &str, object: &str) -> String {
    format!(r#"{{"type":"{kind}","object":{object}}}"#)
}

fn silence(events: &[String]) -> Answer {
    Answer::Events(events.to_vec(), None)
}

#[tokio::test]
async fn a_watch_asks_for_one_object_by_name_and_goes_on_where_the_server_ends_it() {
    let bookmark = r#"{"kind":"ConfigMap","metadata":{"resourceVersion":"42"}}"#;
    let later = Some(Duration::from_millis(1_200));
    let tricks = Tricks::play(vec![
        list(&[object("1", 6)], 7),
        Answer::Events(vec![event("BOOKMARK", bookmark)], later),
        silence(&[event("MODIFIED", &object("2", 50))]),
        list(&[object("2", 50)], 51),
        silence(&[]),
    ])
    .await;
    let mut source = tricks.source(ObjectKind::ConfigMap);
    assert_eq!(read(&mut source).await[0].1, "\"1\"");
    soon(source.changed()).await.unwrap();
    assert_eq!(read(&mut source).await[0].1, "\"2\"");
    let asked = tricks.asked();
    let path = "GET /api/v1/namespaces/default/configmaps?fieldSelector=metadata.name=micro";
    assert_eq!(asked[0], format!("{path} HTTP/1.1"));
    for (watch, version) in [(&asked[1], "7"), (&asked[2], "42")] {
        assert!(
            watch.starts_with(&format!(
                "{path}&watch=true&allowWatchBookmarks=true&timeoutSeconds="
            )),
            "{watch}"
        );
        assert!(
            watch.ends_with(&format!("&resourceVersion={version} HTTP/1.1")),
            "{watch}"
        );
    }
}

#[tokio::test]
async fn a_version_that_the_server_forgot_is_read_anew() {
    let gone =
        r#"{"kind":"Status","code":410,"reason":"Expired","message":"too old resource version: 7 (9)"}"#;
    for forgotten in [
        silence(&[event("ERROR", gone)]),
        Answer::Whole(410, gone.to_owned()),
    ] {
        let tricks = Tricks::play(vec![
            list(&[object("1", 6)], 7),
            silence(&[]),
            list(&[object("1", 6)], 7),
            forgotten,
            list(&[object("2", 9)], 9),
            silence(&[]),
        ])
        .await;
        let mut source = tricks.source(ObjectKind::ConfigMap);
        read(&mut source).await;
        let reading = async {
            loop {
                match source.read().await {
                    Ok(_) => assert!(source.changed().await.is_err(), "changes may have been missed"),
                    Err(error) => assert!(error.to_string().contains("too old"), "{error}"),
                }
                if let Ok(documents) = source.read().await {
                    return documents.len();
                }
            }
        };
        assert_eq!(soon(reading).await, 1);
    }
}

#[tokio::test]
async fn nonsense_is_no_panic_and_is_told_by_address_and_name() {
    for body in [
        "",
        "{",
        "[]",
        "{\"items\":7}",
        r#"{"items":[{"data":7}]}"#,
        "\u{0}",
    ] {
        let tricks = Tricks::play(vec![Answer::Whole(200, body.to_owned())]).await;
        let error = failure(&mut tricks.source(ObjectKind::ConfigMap)).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let address = tricks.address.trim_start_matches("http://");
        assert!(
            error.to_string().contains(address) && error.to_string().contains("default/micro"),
            "{body}: {error}"
        );
    }
    for line in [
        "{",
        "null",
        r#"{"type":"WHAT","object":{}}"#,
        r#"{"type":"ADDED","object":7}"#,
    ] {
        let tricks = Tricks::play(vec![
            list(&[object("1", 6)], 7),
            silence(&[line.to_owned()]),
            list(&[object("2", 8)], 8),
            silence(&[]),
        ])
        .await;
        let config = follow(tricks.source(ObjectKind::ConfigMap)).await;
        let mut watch = config.watch::<u8>("a");
        if config.get::<u8>("a").unwrap() == 1 {
            assert_eq!(soon(watch.next()).await.unwrap().unwrap(), 2, "{line}");
        }
    }
}

#[tokio::test]
async fn what_a_broken_event_of_a_secret_says_is_not_shown() {
    let broken = r#"{"type":"MODIFIED","object":{"data":{"a":"aHVudGVyMg==","b":7,"c":hunter2}}}"#;
    let wrong = r#"{"type":"MODIFIED","object":{"data":"hunter2"}}"#;
    for line in [broken, wrong] {
        let tricks = Tricks::play(vec![list(&[], 7), silence(&[line.to_owned()])]).await;
        let mut source = tricks.source(ObjectKind::Secret);
        assert_eq!(failure(&mut source).await.kind(), ErrorKind::Missing);
        let error = soon(source.changed()).await.unwrap_err().to_string();
        assert!(!error.contains("hunter2") && !error.contains("aHVud"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_ends_each_watch_at_once_is_not_asked_without_pause() {
    let mut answers = Vec::new();
    for version in 7..200 {
        answers.push(list(&[object("1", 6)], version));
        answers.push(Answer::Events(Vec::new(), Some(Duration::ZERO)));
    }
    let tricks = Tricks::play(answers).await;
    let config = follow(tricks.source(ObjectKind::ConfigMap)).await;
    sleep(Duration::from_secs(2)).await;
    let asked = tricks.asked().len();
    assert!((4..=40).contains(&asked), "{asked} requests in two seconds");
    until(&config, |state| state.is_ready()).await;
    let told = timeout(Duration::from_millis(200), config.watch::<u8>("a").next()).await;
    assert!(told.is_err(), "there is nothing to tell");
}
