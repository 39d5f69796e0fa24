//! A server that plays tricks: it ends watches, forgets versions and tells nonsense.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_core::ErrorKind;
use micro_core::registry::{Action, Registry};
use micro_kubernetes::{KubernetesConfig, KubernetesRegistry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::told::{LONG, PATIENCE, next, record};

/// What it answers to the requests, in turn; the last one again and again.
struct Tricks {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
enum Answer {
    Whole(u16, String),
    /// Events, and then silence or the end.
    Events(Vec<String>, Then),
}

#[derive(Clone, Copy, PartialEq)]
enum Then {
    Silence,
    End,
    /// The end, after more than the second that a watch is expected to last.
    LaterEnd,
}

impl Tricks {
    async fn play(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = asked.clone();
        let task = tokio::spawn(async move {
            let mut open = Vec::new();
            let mut answers = answers.into_iter().peekable();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read(&mut stream).await;
                noted.lock().unwrap().push(request);
                let answer = answers.next().unwrap();
                if answers.peek().is_none() {
                    answers = vec![answer.clone()].into_iter().peekable();
                }
                if answer.write(&mut stream).await {
                    open.push(stream);
                }
            }
        });
        Self { address, asked, task }
    }

    async fn connect(&self) -> micro_core::Result<KubernetesRegistry> {
        KubernetesRegistry::connect(KubernetesConfig {
            pod: "greeter-1".into(),
            request_timeout: Duration::from_secs(2),
            ..KubernetesConfig::new(&self.address)
        })
        .await
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
    /// Returns whether the connection stays open.
    async fn write(&self, stream: &mut TcpStream) -> bool {
        let text = match self {
            Self::Whole(status, body) => format!(
                "HTTP/1.1 {status} Status\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            ),
            Self::Events(events, _) => {
                let mut text = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
                for event in events {
                    text.push_str(&format!("{:x}\r\n{event}\n\r\n", event.len() + 1));
                }
                text
            }
        };
        let _ = stream.write_all(text.as_bytes()).await;
        match self {
            Self::Events(_, Then::Silence) => true,
            Self::Events(_, then) => {
                if *then == Then::LaterEnd {
                    sleep(Duration::from_millis(1_200)).await;
                }
                let _ = stream.write_all(b"0\r\n\r\n").await;
                false
            }
            Self::Whole(..) => false,
        }
    }
}

async fn read(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer).await.unwrap_or(0);
        text.extend_from_slice(&buffer[..length]);
        let read = String::from_utf8_lossy(&text).into_owned();
        let body = read.split_once("\r\n\r\n").map(|(_, body)| body.len());
        let wanted = read
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")
                    .map(str::to_owned)
            })
            .map_or(0, |length| length.trim().parse().unwrap());
        if length == 0 || body.is_some_and(|body| body >= wanted) {
            return read;
        }
    }
}

fn pod(id: &str, version: u32) -> String {
    let record = serde_json::to_string(&record("greeter", "1", &[id])).unwrap();
    serde_json::json!({"metadata": {
        "name": "greeter-1",
        "resourceVersion": version.to_string(),
        "annotations": {"micro.mu/service-greeter": record},
    }})
    .to_string()
}

fn list(pods: &[String], version: u32) -> Answer {
    let pods = pods.join(",");
    Answer::Whole(
        200,
        format!(r#"{{"metadata":{{"resourceVersion":"{version}"}},"items":[{pods}]}}"#),
    )
}

fn event(kind: &str, object: &str) -> String {
    format!(r#"{{"type":"{kind}","object":{object}}}"#)
}

fn silence(events: &[String]) -> Answer {
    Answer::Events(events.to_vec(), Then::Silence)
}

const GONE: &str = r#"{"kind":"Status","code":410,"message":"too old resource version: 7 (9)"}"#;

#[tokio::test]
async fn a_watch_whose_version_is_too_old_lists_again() {
    for gone in [
        silence(&[event("ERROR", GONE)]),
        Answer::Whole(410, GONE.to_owned()),
    ] {
        let tricks = Tricks::play(vec![
            list(&[], 1),
            list(&[pod("a", 6)], 7),
            silence(&[event("MODIFIED", &pod("b", 8)), event("ERROR", GONE)]),
            gone,
            list(&[pod("c", 9)], 9),
            silence(&[]),
        ])
        .await;
        let registry = tricks.connect().await.unwrap();
        let mut watcher = registry.watch(Some("greeter")).await.unwrap();
        let mut told = Vec::new();
        while told.len() < 4 {
            match timeout(PATIENCE, watcher.next()).await.unwrap() {
                Ok(change) => told.push((change.action, change.service.nodes[0].id.clone())),
                Err(error) => assert!(error.detail().contains("interrupted"), "{error}"),
            }
        }
        let told: Vec<_> = told.iter().map(|(action, id)| (*action, id.as_str())).collect();
        use Action::{Create, Delete};
        assert_eq!(told, [(Delete, "a"), (Create, "b"), (Delete, "b"), (Create, "c")]);
    }
}

#[tokio::test]
async fn a_watch_that_the_server_ends_goes_on_from_its_last_version() {
    let bookmark = event(
        "BOOKMARK",
        r#"{"kind":"Pod","metadata":{"resourceVersion":"42"}}"#,
    );
    let tricks = Tricks::play(vec![
        list(&[], 1),
        list(&[pod("a", 6)], 7),
        Answer::Events(vec![bookmark], Then::LaterEnd),
        silence(&[event("DELETED", &pod("a", 50))]),
    ])
    .await;
    let registry = tricks.connect().await.unwrap();
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    assert_eq!(next(&mut watcher).await.action, Action::Delete);
    let asked = tricks.asked();
    assert_eq!(asked.len(), 4, "{asked:?}");
    for (watch, version) in [(&asked[2], "7"), (&asked[3], "42")] {
        for part in [
            "GET /api/v1/namespaces/default/pods?labelSelector=micro.mu/selector-greeter=service&",
            "watch=true&allowWatchBookmarks=true&timeoutSeconds=",
            &format!("&resourceVersion={version} HTTP/1.1"),
        ] {
            assert!(watch.contains(part), "{part}: {watch}");
        }
    }
}

#[tokio::test]
async fn a_server_that_ends_each_watch_after_a_bookmark_is_not_asked_without_pause() {
    let mut answers = vec![list(&[], 1)];
    for version in 7..100 {
        let object = format!(r#"{{"kind":"Pod","metadata":{{"resourceVersion":"{version}"}}}}"#);
        answers.push(list(&[pod("a", 6)], version));
        answers.push(Answer::Events(vec![event("BOOKMARK", &object)], Then::End));
    }
    let tricks = Tricks::play(answers).await;
    let registry = tricks.connect().await.unwrap();
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    let told = timeout(Duration::from_secs(1), async {
        while watcher.next().await.is_err() {}
    })
    .await;
    assert!(told.is_err(), "there is nothing to tell");
    let asked = tricks.asked().len();
    assert!((4..=20).contains(&asked), "{asked} requests in a second");
}

#[tokio::test]
async fn a_timeout_that_never_ends_is_none() {
    let tricks = Tricks::play(vec![list(&[], 1), list(&[pod("a", 6)], 7), silence(&[])]).await;
    let config = KubernetesConfig {
        request_timeout: Duration::MAX,
        connect_timeout: Duration::MAX,
        ..KubernetesConfig::new(&tricks.address)
    };
    let registry = KubernetesRegistry::connect(config).await.unwrap();
    drop(registry.watch(Some("greeter")).await.unwrap());
}

#[tokio::test]
async fn nonsense_is_no_panic_and_is_told_by_address() {
    let nonsense = ["", "{", "[]", "{\"items\":7}", "\u{0}"];
    for body in nonsense {
        let tricks = Tricks::play(vec![list(&[], 1), Answer::Whole(200, body.to_owned())]).await;
        let registry = tricks.connect().await.unwrap();
        let error = registry.get_service("greeter").await.unwrap_err();
        let address = tricks.address.trim_start_matches("http://");
        assert!(
            error.detail().contains(address) && error.detail().contains("greeter"),
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
            list(&[], 1),
            list(&[], 7),
            silence(&[line.to_owned()]),
            list(&[pod("a", 9)], 9),
            silence(&[]),
        ])
        .await;
        let registry = tricks.connect().await.unwrap();
        let mut watcher = registry.watch(Some("greeter")).await.unwrap();
        assert_eq!(next(&mut watcher).await.action, Action::Create, "{line}");
    }
}

#[tokio::test]
async fn a_changed_pod_is_read_again_and_the_patch_is_sent_as_go_micro_sends_it() {
    let conflict = r#"{"kind":"Status","code":409,"message":"the object has been modified"}"#;
    let empty = |version: u32| {
        Answer::Whole(
            200,
            format!(r#"{{"metadata":{{"name":"greeter-1","resourceVersion":"{version}"}}}}"#),
        )
    };
    let tricks = Tricks::play(vec![
        list(&[], 1),
        empty(7),
        Answer::Whole(409, conflict.to_owned()),
        empty(8),
        Answer::Whole(200, pod("a", 9)),
    ])
    .await;
    let registry = tricks.connect().await.unwrap();
    let options = micro_core::registry::RegisterOptions { ttl: None };
    registry
        .register(&record("greeter", "1", &["a"]), options)
        .await
        .unwrap();
    let asked = tricks.asked();
    let patch = asked.last().unwrap();
    assert!(
        patch.starts_with("PATCH /api/v1/namespaces/default/pods/greeter-1 HTTP/1.1\r\n"),
        "{patch}"
    );
    assert!(
        patch.contains("content-type: application/strategic-merge-patch+json\r\n"),
        "{patch}"
    );
    let body = patch.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(
        body,
        concat!(
            r#"{"metadata":{"labels":{"micro.mu/selector-greeter":"service","micro.mu/type":"service"},"#,
            r#""annotations":{"micro.mu/service-greeter":"{\"name\":\"greeter\",\"version\":\"1\",\"metadata\":null,"#,
            r#"\"endpoints\":null,\"nodes\":[{\"metadata\":null,\"id\":\"a\",\"address\":\"127.0.0.1:9101\"}]}"},"#,
            r#""resourceVersion":"8"}}"#
        )
    );
}

#[tokio::test]
async fn a_pod_that_changes_again_and_again_is_given_up_by_name() {
    let tricks = Tricks::play(vec![list(&[], 1), Answer::Whole(409, "{}".to_owned())]).await;
    let registry = tricks.connect().await.unwrap();
    let registered = timeout(PATIENCE, registry.register(&record("greeter", "1", &["a"]), LONG)).await;
    let error = registered.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.detail().contains("greeter-1"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_overloaded_is_told_as_such() {
    let tricks = Tricks::play(vec![Answer::Whole(429, r#"{"message":"too many"}"#.to_owned())]).await;
    let error = tricks.connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyRequests);
}
