//! An etcd process on ports of its own, and what the tests ask of it.

use std::io::Write;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use micro_core::registry::{Change, Node, RegisterOptions, Registry, ServiceRecord, Watcher};
use micro_etcd::{EtcdConfig, EtcdRegistry};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// Long enough for the busiest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than any test.
pub(crate) const LONG: RegisterOptions = RegisterOptions {
    ttl: Some(Duration::from_secs(600)),
};

pub(crate) struct Etcd {
    pub(crate) port: u16,
    peer_port: u16,
    scheme: &'static str,
    more: Vec<String>,
    data: TempDir,
    process: Option<Child>,
}

impl Etcd {
    /// Starts one and waits until it serves. None: the machine has none, and the test is left out.
    pub(crate) async fn start() -> Option<Self> {
        let etcd = Self::spawn("http", Vec::new())?;
        drop(etcd.connect().await);
        Some(etcd)
    }

    /// Starts one with further arguments.
    pub(crate) fn spawn(scheme: &'static str, more: Vec<String>) -> Option<Self> {
        if !is_installed() {
            return None;
        }
        let (one, two) = (free_port(), free_port());
        let mut etcd = Self {
            port: one.local_addr().unwrap().port(),
            peer_port: two.local_addr().unwrap().port(),
            scheme,
            more,
            data: TempDir::new().unwrap(),
            process: None,
        };
        drop((one, two));
        etcd.run();
        Some(etcd)
    }

    fn run(&mut self) {
        let client = self.address();
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        let cluster = format!("test={peer}");
        let spawned = Command::new("etcd")
            .args([
                "--name",
                "test",
                "--unsafe-no-fsync",
                "--logger",
                "zap",
                "--log-level",
                "error",
            ])
            // So that a single member elects itself at once, and leases may be as short as a second.
            .args(["--heartbeat-interval", "10", "--election-timeout", "100"])
            .arg("--data-dir")
            .arg(self.data.path())
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args(["--initial-cluster", &cluster])
            .args(&self.more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        self.process = Some(spawned.unwrap());
    }

    /// Kills it, so that it can do nothing more.
    pub(crate) async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().await.unwrap();
        }
    }

    /// Starts it again, with what it had.
    pub(crate) async fn start_again(&mut self) {
        self.kill().await;
        self.run();
    }

    /// Starts it again as if it had never been there.
    pub(crate) async fn start_empty(&mut self) {
        self.kill().await;
        self.data = TempDir::new().unwrap();
        self.run();
    }

    pub(crate) fn address(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    pub(crate) fn config(&self) -> EtcdConfig {
        EtcdConfig {
            endpoints: vec![self.address()],
            ..EtcdConfig::default()
        }
    }

    pub(crate) async fn connect(&self) -> EtcdRegistry {
        connect(self.config()).await
    }

    /// Asks etcd's JSON gateway.
    pub(crate) async fn post(&self, path: &str, body: &str) -> String {
        let length = body.len();
        self.http(
            &format!("POST {path} HTTP/1.1\r\ncontent-length: {length}\r\n"),
            body,
        )
        .await
    }

    /// The value of one of etcd's metrics.
    pub(crate) async fn metric(&self, name: &str) -> String {
        let metrics = self.http("GET /metrics HTTP/1.1\r\n", "").await;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no metric {name}"))
            .trim()
            .to_owned()
    }

    async fn http(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let request = format!("{head}host: etcd\r\nconnection: close\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{head}{answer}");
        answer
    }

    /// Puts a value as anybody may.
    pub(crate) async fn put(&self, key: &str, value: &str) {
        let body = format!(r#"{{"key":"{}","value":"{}"}}"#, in_base64(key), in_base64(value));
        self.post("/v3/kv/put", &body).await;
    }
}

pub(crate) fn in_base64(text: &str) -> String {
    STANDARD.encode(text)
}

/// Whether there is an etcd to start. An etcd in a container serves the other tests, but not these: they say aloud
/// that they are left out, and where servers must be had they fail.
fn is_installed() -> bool {
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&search_path).any(|folder| folder.join("etcd").is_file()) {
        return true;
    }
    let needed = "this test restarts or configures an etcd of its own and needs the program `etcd` on the PATH, such as \
                  Debian's package etcd-server has it";
    let is_set = |name| std::env::var(name).is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
    assert!(
        !["CI", "MICRO_REQUIRE_BACKENDS"].into_iter().any(is_set),
        "{needed}"
    );
    // Past the capture of the test's output, which nobody would see.
    let _ = writeln!(std::io::stderr(), "skipped: {needed}");
    false
}

fn free_port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Connects as soon as the server is up.
pub(crate) async fn connect(config: EtcdConfig) -> EtcdRegistry {
    let until = Instant::now() + PATIENCE;
    loop {
        match EtcdRegistry::connect(config.clone()).await {
            Ok(registry) => return registry,
            Err(error) if Instant::now() > until => panic!("etcd did not come up: {error}"),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

pub(crate) fn greeter(node: &str) -> ServiceRecord {
    ServiceRecord::new("greeter", "1").with_nodes(vec![Node::new(node, "127.0.0.1:9101")])
}

/// Registers as core's loop does: until it works.
pub(crate) async fn register(registry: &EtcdRegistry, record: &ServiceRecord) {
    let until = Instant::now() + PATIENCE;
    while let Err(error) = registry.register(record, LONG).await {
        assert!(Instant::now() < until, "{error}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// The ids that a look-up gives, sorted.
pub(crate) fn ids(records: &[ServiceRecord]) -> Vec<&str> {
    let mut ids: Vec<&str> = records
        .iter()
        .flat_map(|record| &record.nodes)
        .map(|node| node.id.as_str())
        .collect();
    ids.sort_unstable();
    ids
}

/// The next change, whatever trouble is told before it.
pub(crate) async fn next(watcher: &mut Watcher) -> Change {
    let next = async {
        loop {
            if let Ok(change) = watcher.next().await {
                return change;
            }
        }
    };
    timeout(PATIENCE, next).await.expect("a change")
}
