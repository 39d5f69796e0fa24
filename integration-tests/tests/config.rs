//! A service whose configuration is in a real server: it follows changes, lives through the server's absence and through
//! what makes no sense, and goes on by itself.
//!
//! The servers are those that all tests share: `cargo xtask backends up` sees to them. Toxiproxy makes the trouble.

#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code, reason = "others make more trouble")]
#[path = "registries/toxiproxy.rs"]
mod toxiproxy;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use micro::config::{Config, SourceState};
use micro::debug::{HealthRequest, HealthResponse};
use micro::prelude::*;
use micro::service::RunningService;
use servers::kubernetes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::toxiproxy::Toxiproxy;

/// How long anything may take: generous, because it is met only by failing tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where configuration is written, by those who may.
enum Store {
    Consul { key: String },
    Etcd { key: String },
    Nats { bucket: String },
    Kubernetes { name: String },
    Http(Document),
}

impl Store {
    fn server(&self) -> SocketAddr {
        match self {
            Self::Consul { .. } => "127.0.0.1:8500".parse().unwrap(),
            Self::Etcd { .. } => "127.0.0.1:2379".parse().unwrap(),
            Self::Nats { .. } => "127.0.0.1:4222".parse().unwrap(),
            Self::Kubernetes { .. } => "127.0.0.1:6443".parse().unwrap(),
            Self::Http(document) => document.address,
        }
    }

    async fn write(&self, text: &str) {
        match self {
            Self::Consul { key } => {
                curl(&["-X", "PUT", "--data-binary", text, &consul(key)]).await;
            }
            Self::Etcd { key } => etcd("put", &[("key", key), ("value", text)]).await,
            Self::Nats { bucket } => nats(format!("$KV.{bucket}.app.toml"), text).await,
            Self::Kubernetes { name } => {
                let data = serde_json::json!({ "data": { "app.toml": text } }).to_string();
                let path = format!("{CONFIG_MAPS}/{name}");
                kubernetes::request(self.server(), "PATCH", &path, &data)
                    .await
                    .unwrap();
            }
            Self::Http(document) => *document.text.lock().unwrap() = text.to_owned(),
        }
    }

    async fn remove(self) {
        match self {
            Self::Consul { key } => curl(&["-X", "DELETE", &consul(&key)]).await,
            Self::Etcd { key } => etcd("deleterange", &[("key", &key)]).await,
            Self::Nats { bucket } => nats(format!("$JS.API.STREAM.DELETE.KV_{bucket}"), "").await,
            Self::Kubernetes { name } => {
                let path = format!("{CONFIG_MAPS}/{name}");
                let server = "127.0.0.1:6443".parse().unwrap();
                kubernetes::request(server, "DELETE", &path, "").await.unwrap();
            }
            Self::Http(document) => document.task.abort(),
        }
    }
}

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn consul(key: &str) -> String {
    format!("http://127.0.0.1:8500/v1/kv/{key}")
}

async fn etcd(what: &str, fields: &[(&str, &str)]) {
    let fields = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), STANDARD.encode(value).into()));
    let body = serde_json::Value::Object(fields.collect()).to_string();
    let url = format!("http://127.0.0.1:2379/v3/kv/{what}");
    curl(&["-X", "POST", "--data", &body, &url]).await;
}

/// Asks JetStream, which answers whatever it stores too.
async fn nats(subject: String, body: &str) {
    let client = async_nats::connect("127.0.0.1:4222").await;
    let client = client.expect("`cargo xtask backends up nats`");
    let answer = client.request(subject, body.to_owned().into()).await.unwrap();
    let answer = String::from_utf8_lossy(&answer.payload).into_owned();
    assert!(!answer.contains("error"), "{answer}");
}

/// Asks a server without encryption, for which this borrows curl.
async fn curl(arguments: &[&str]) {
    let mut command = Command::new("curl");
    command.args(["--fail-with-body", "--silent", "--show-error", "--max-time", "5"]);
    let output = command.args(arguments).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "`cargo xtask backends up`? {said}");
}

/// A server of one document.
struct Document {
    address: SocketAddr,
    text: Arc<Mutex<String>>,
    task: JoinHandle<()>,
}

impl Document {
    async fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let text = Arc::<Mutex<String>>::default();
        let said = text.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => request.push(byte),
                        Err(_) => break,
                    }
                }
                let text = said.lock().unwrap().clone();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                    text.len()
                );
                let _ = stream.write_all((head + &text).as_bytes()).await;
            }
        });
        Self { address, text, task }
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "it never held that {what}");
        sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

fn text(number: u32) -> String {
    format!(
        "greeting = 'Hello {number}'\n[micro]\nregistry = 'memory'\nserver_address = '127.0.0.1:0'\n\
         client_request_timeout = '{number}s'\n"
    )
}

/// What the program's own code reads, and what its client does.
fn is(service: &RunningService, config: &Config, number: u32) -> bool {
    let greeting = config.get::<String>("greeting").unwrap();
    let timeout = service.client().options().get().request_timeout;
    greeting == format!("Hello {number}") && timeout == Duration::from_secs(number.into())
}

/// `named` is the name of the source, for the address that it is reached at.
async fn a_service_follows(store: Store, named: impl Fn(SocketAddr) -> String) {
    store.write(&text(1)).await;
    let proxy = Toxiproxy::open(&unique("proxy"), store.server()).await;
    let flag = format!("--config={}", named(proxy.address));
    let mut environment = kubernetes::credentials();
    environment.push(("MICRO_CONFIG_HTTP_INTERVAL".to_owned(), "100ms".to_owned()));
    let settings = Arguments::new("journey").parse_from([flag], environment).unwrap();
    let service = settings.service().await.unwrap().build().unwrap();
    let service = service.start().await.unwrap();
    let config = service.config();
    assert!(is(&service, &config, 1));

    store.write(&text(2)).await;
    let took = until("the change is seen", || is(&service, &config, 2)).await;
    println!("a change was seen after {took:?}");

    // An outage: what was good last stays, and what changed meanwhile is seen afterwards.
    proxy.cut().await;
    store.write(&text(3)).await;
    until("the source is known to be away", || {
        !config.sources()[0].state.is_ready()
    })
    .await;
    assert!(matches!(config.sources()[0].state, SourceState::Failing { .. }));
    assert!(is(&service, &config, 2));
    proxy.mend().await;
    let took = until("what changed meanwhile is seen", || is(&service, &config, 3)).await;
    println!("after the outage it took {took:?}");

    // A connection that falls silent is given up; and what comes late is still seen.
    proxy.silence().await;
    store.write(&text(4)).await;
    until("the silence is noticed", || !config.sources()[0].state.is_ready()).await;
    assert!(is(&service, &config, 3));
    proxy.cure("timeout").await;
    until("what changed in the silence is seen", || is(&service, &config, 4)).await;
    proxy.delay(100).await;
    store.write(&text(3)).await;
    let took = until("what comes late is seen", || is(&service, &config, 3)).await;
    println!("with 100 ms more each way it took {took:?}");
    proxy.cure("latency").await;

    // What makes no sense counts for nothing, also for the part of it that would.
    for wrong in [
        "greeting = 'Hello 4".to_owned(),
        text(4).replace("_timeout", "_time_out"),
    ] {
        store.write(&wrong).await;
        until("it is refused", || {
            matches!(config.sources()[0].state, SourceState::Refused { .. })
        })
        .await;
        assert!(is(&service, &config, 3));
        store.write(&text(3)).await;
        until("it is well again", || config.sources()[0].state.is_ready()).await;
    }
    store.write(&text(5)).await;
    until("it goes on", || is(&service, &config, 5)).await;

    service.stop().await.unwrap();
    proxy.close().await;
    store.remove().await;
}

/// A name that no other test and run has.
fn unique(what: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let began = UNIX_EPOCH.elapsed().unwrap().as_millis();
    format!("journey-{what}-{began}-{}-{number}", std::process::id())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_is_in_consul() {
    let key = format!("{}/app.toml", unique("config"));
    let name = key.clone();
    a_service_follows(Store::Consul { key }, |address| {
        format!("consul://{address}/{name}")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_is_in_etcd() {
    let key = format!("/{}/app.toml", unique("config"));
    let name = key.clone();
    a_service_follows(Store::Etcd { key }, |address| format!("etcd://{address}{name}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_is_in_nats() {
    let name = unique("config");
    let stream = serde_json::json!({
        "name": format!("KV_{name}"), "subjects": [format!("$KV.{name}.>")], "max_msgs_per_subject": 1,
        "discard": "new", "allow_direct": true, "allow_rollup_hdrs": true, "deny_delete": true,
    });
    nats(format!("$JS.API.STREAM.CREATE.KV_{name}"), &stream.to_string()).await;
    let store = Store::Nats { bucket: name.clone() };
    a_service_follows(store, |address| format!("nats://{address}/{name}/app.toml")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_is_in_kubernetes() {
    let name = unique("config");
    let map = format!(r#"{{ "apiVersion": "v1", "kind": "ConfigMap", "metadata": {{ "name": "{name}" }} }}"#);
    let server = "127.0.0.1:6443".parse().unwrap();
    let made = kubernetes::request(server, "POST", CONFIG_MAPS, &map).await;
    made.expect("`cargo xtask backends up kubernetes`");
    let store = Store::Kubernetes { name: name.clone() };
    a_service_follows(store, |address| format!("kubernetes://{address}/default/{name}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_is_at_a_url() {
    let store = Store::Http(Document::serve().await);
    a_service_follows(store, |address| format!("http://{address}/app.toml")).await;
}

/// Calls the service as often, and says how many of the calls were answered and how many refused with 429.
async fn taken_and_refused(client: &Client, calls: usize) -> (usize, usize) {
    let call = |_| client.call_plain::<_, String>("limited", "Limited.Hello", "World".to_owned());
    let answers = join_all((0..calls).map(call)).await;
    let taken = answers.iter().filter(|answer| answer.is_ok()).count();
    for error in answers.into_iter().filter_map(Result::err) {
        assert_eq!(
            (error.code(), error.status()),
            (429, "Too Many Requests"),
            "{error}"
        );
        assert!(
            error
                .detail()
                .contains("limited Limited.Hello: too many requests"),
            "{error}"
        );
    }
    (taken, calls - taken)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_service_sheds_calls_from_when_its_file_says_so_until_it_does_not() {
    let folder = std::env::temp_dir().join(unique("limits"));
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("limited.toml");
    let write = |limits: &str| {
        let text = format!("[micro]\nregistry = 'memory'\nserver_address = '127.0.0.1:0'\n{limits}");
        std::fs::write(&path, text).unwrap();
    };
    write("");
    let flag = format!("--config={}", path.display());
    let settings = Arguments::new("limited")
        .parse_from([flag], [("", ""); 0])
        .unwrap();
    let hello = endpoint_fn("Limited.Hello", |_: Context, name: String| async move {
        Ok(format!("Hello {name}"))
    });
    let service = settings.service().await.unwrap().handler(hello).build().unwrap();
    let service = service.start().await.unwrap();
    // Another process would call in the same way: through the registry, over HTTP.
    let client = settings.client().await.unwrap().build();
    assert_eq!(taken_and_refused(&client, 100).await, (100, 0));

    write("server_rate_limit = 0.01\nserver_rate_burst = 10\n");
    let began = Instant::now();
    let (mut before, mut last) = (0, (0, 0));
    while last.1 == 0 {
        assert!(began.elapsed() < PATIENCE, "nothing is refused");
        before += last.0;
        last = taken_and_refused(&client, 5).await;
    }
    println!(
        "the limit counted after {:?}, {before} calls later",
        began.elapsed()
    );
    assert_eq!(taken_and_refused(&client, 50).await, (0, 50));
    let request = HealthRequest::default();
    let health = client
        .call::<_, HealthResponse>("limited", "Debug.Health", &request)
        .await;
    assert_eq!(health.unwrap().status, "ok", "who looks after it sees it");

    write("");
    let began = Instant::now();
    while taken_and_refused(&client, 5).await != (5, 0) {
        assert!(began.elapsed() < PATIENCE, "calls are refused still");
        sleep(Duration::from_millis(5)).await;
    }
    println!("calls are taken again after {:?}", began.elapsed());
    assert_eq!(taken_and_refused(&client, 100).await, (100, 0));
    service.stop().await.unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}
