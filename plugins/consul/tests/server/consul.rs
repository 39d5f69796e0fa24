//! A Consul process on ports of its own, and what the tests ask of it.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use micro_consul::{ConsulConfig, ConsulRegistry};
use micro_core::registry::{Change, Node, RegisterOptions, Registry, ServiceRecord, Watcher};
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
/// The shortest that is tried.
pub(crate) const SHORT: RegisterOptions = RegisterOptions {
    ttl: Some(Duration::from_secs(1)),
};

pub(crate) struct Consul {
    pub(crate) port: u16,
    program: PathBuf,
    arguments: Vec<String>,
    _folder: TempDir,
    process: Option<Child>,
}

impl Consul {
    /// Starts one and waits until it serves. None: the machine has none, and the test is left out.
    pub(crate) async fn start() -> Option<Self> {
        let consul = Self::spawn("http", "{}")?;
        drop(consul.connect().await);
        Some(consul)
    }

    /// Starts one that serves plain or encrypted HTTP, with further configuration.
    pub(crate) fn spawn(scheme: &str, configuration: &str) -> Option<Self> {
        let program = installed()?;
        let folder = TempDir::new().unwrap();
        let base = r#"{ "disable_update_check": true, "performance": { "raft_multiplier": 1 } }"#;
        let sockets: Vec<TcpListener> = (0..3)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let ports: Vec<u16> = sockets
            .iter()
            .map(|socket| socket.local_addr().unwrap().port())
            .collect();
        drop(sockets);
        let (http, https) = match scheme {
            "http" => (i32::from(ports[0]), -1),
            _ => (-1, i32::from(ports[0])),
        };
        let mut arguments: Vec<String> = [
            "agent",
            "-dev",
            "-node=test",
            "-bind=127.0.0.1",
            "-client=127.0.0.1",
        ]
        .map(str::to_owned)
        .into();
        arguments.extend(["-log-level=error", "-dns-port=-1", "-grpc-port=-1"].map(str::to_owned));
        arguments.extend(["-grpc-tls-port=-1", "-serf-wan-port=-1"].map(str::to_owned));
        arguments.push(format!("-http-port={http}"));
        arguments.push(format!("-https-port={https}"));
        arguments.push(format!("-serf-lan-port={}", ports[1]));
        arguments.push(format!("-server-port={}", ports[2]));
        for (name, text) in [("base.json", base), ("more.json", configuration)] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            arguments.push(format!("-config-file={}", path.display()));
        }
        let mut consul = Self {
            port: ports[0],
            program,
            arguments,
            _folder: folder,
            process: None,
        };
        consul.run();
        Some(consul)
    }

    fn run(&mut self) {
        let spawned = Command::new(&self.program)
            .args(&self.arguments)
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

    /// Starts it again as if it had never been there: it keeps nothing on disk.
    pub(crate) async fn start_empty(&mut self) {
        self.kill().await;
        self.run();
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub(crate) fn config(&self) -> ConsulConfig {
        config(self.address())
    }

    pub(crate) async fn connect(&self) -> ConsulRegistry {
        connect(self.config()).await
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        self.http("GET", path, "", "").await.1
    }

    /// Tells the agent something, as anybody may.
    pub(crate) async fn put(&self, path: &str, body: &str) {
        let (status, answer) = self.http("PUT", path, "", body).await;
        assert_eq!(status, 200, "PUT {path}: {answer}");
    }

    /// The status and the answer.
    pub(crate) async fn http(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nhost: consul\r\nx-consul-token: {token}\r\ncontent-length: {length}\r\n\r\n"
        );
        stream
            .write_all(format!("{head}{body}").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        let read = timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
        read.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

pub(crate) fn config(agent: SocketAddr) -> ConsulConfig {
    ConsulConfig::from_addresses(&[agent.to_string()]).unwrap()
}

/// Where a Consul is that can be started. One in a container serves the other tests, but not these: they say aloud that
/// they are left out, and where servers must be had they fail.
fn installed() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let workspace = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let home =
        variable("MICRO_BACKENDS_HOME").map_or_else(|| workspace.join("target/backends"), PathBuf::from);
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&search_path).chain([home.join("bin")]);
    if let Some(folder) = places.find(|folder| folder.join("consul").is_file()) {
        return Some(folder.join("consul"));
    }
    let needed = "this test restarts or configures a Consul of its own and needs the program `consul` on the PATH, or as \
                  `cargo xtask backends up consul` builds it";
    let is_set = |name| std::env::var(name).is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
    assert!(
        !["CI", "MICRO_REQUIRE_BACKENDS"].into_iter().any(is_set),
        "{needed}"
    );
    // Past the capture of the test's output, which nobody would see.
    let _ = writeln!(std::io::stderr(), "skipped: {needed}");
    None
}

/// Connects as soon as the server is up.
pub(crate) async fn connect(config: ConsulConfig) -> ConsulRegistry {
    let until = Instant::now() + PATIENCE;
    loop {
        match ConsulRegistry::connect(config.clone()).await {
            Ok(registry) => return registry,
            Err(error) if Instant::now() > until => panic!("consul did not come up: {error}"),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

pub(crate) fn greeter(node: &str) -> ServiceRecord {
    ServiceRecord::new("greeter", "1").with_nodes(vec![Node::new(node, "127.0.0.1:9101")])
}

/// Registers as core's loop does: until it works.
pub(crate) async fn register(registry: &ConsulRegistry, record: &ServiceRecord) {
    let until = Instant::now() + PATIENCE;
    while let Err(error) = registry.register(record, LONG).await {
        assert!(Instant::now() < until, "{error}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// The ids that a look-up gives, sorted.
pub(crate) fn ids(records: &[ServiceRecord]) -> Vec<&str> {
    let nodes = records.iter().flat_map(|record| &record.nodes);
    let mut ids: Vec<&str> = nodes.map(|node| node.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

/// Looks up until just these nodes are found.
pub(crate) async fn until(registry: &ConsulRegistry, name: &str, wanted: &[&str]) {
    let until = Instant::now() + PATIENCE;
    loop {
        let found = registry.get_service(name).await.unwrap_or_default();
        if ids(&found) == wanted {
            return;
        }
        assert!(Instant::now() < until, "{name} has {found:?} and not {wanted:?}");
        sleep(Duration::from_millis(20)).await;
    }
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
