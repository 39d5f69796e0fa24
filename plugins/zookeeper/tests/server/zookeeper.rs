//! The ZooKeepers that the tests talk to: the one that is there for all tests, under a path of the test's own; and
//! processes of their own, where a test restarts or configures one.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use micro_core::registry::{Change, Node, RegisterOptions, Registry, ServiceRecord, Watcher};
use micro_zookeeper::{ZookeeperConfig, ZookeeperRegistry};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::raw::Raw;

/// Long enough for the busiest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than any test.
pub(crate) const LONG: RegisterOptions = RegisterOptions {
    ttl: Some(Duration::from_secs(600)),
};

/// The ZooKeeper that `MICRO_ZOOKEEPER` names, or else that of this machine.
pub(crate) fn shared_address() -> String {
    let named = std::env::var("MICRO_ZOOKEEPER").unwrap_or_else(|_| "127.0.0.1:2181".into());
    named.split(',').next().unwrap().to_owned()
}

/// A configuration for the shared ZooKeeper with a path that no other test has.
pub(crate) fn shared() -> ZookeeperConfig {
    ZookeeperConfig {
        servers: vec![shared_address()],
        path: format!("/micro-test-{:016x}", fastrand::u64(..)),
        ..ZookeeperConfig::default()
    }
}

/// Looks at the shared ZooKeeper with other eyes.
pub(crate) async fn raw() -> Raw {
    Raw::connect(&shared_address()).await
}

const SERVER: &str = "/usr/share/java/zookeeper.jar";
const LOGGING: &str = "/usr/share/java/slf4j-simple.jar";

/// A process on a port of its own.
pub(crate) struct Zookeeper {
    pub(crate) port: u16,
    /// Further lines of its configuration, and definitions for Java.
    settings: String,
    definitions: Vec<String>,
    data: TempDir,
    process: Option<Child>,
}

impl Zookeeper {
    /// Starts one and waits until it serves. None: the machine has none, and the test is left out.
    pub(crate) async fn start() -> Option<Self> {
        let zookeeper = Self::spawn(
            |port| format!("clientPort={port}\nclientPortAddress=127.0.0.1\n"),
            &[],
        )?;
        drop(zookeeper.connect().await);
        Some(zookeeper)
    }

    /// Starts one with settings that say where it listens, and definitions for Java.
    pub(crate) fn spawn(settings: impl Fn(u16) -> String, definitions: &[&str]) -> Option<Self> {
        if !is_installed() {
            return None;
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = port.local_addr().unwrap().port();
        let mut zookeeper = Self {
            port,
            settings: settings(port),
            definitions: definitions.iter().map(|text| (*text).to_owned()).collect(),
            data: TempDir::new().unwrap(),
            process: None,
        };
        zookeeper.run();
        Some(zookeeper)
    }

    fn run(&mut self) {
        let file = self.data.path().join("zoo.cfg");
        let settings = format!(
            "tickTime=500\nminSessionTimeout=1000\nmaxSessionTimeout=60000\nmaxClientCnxns=0\n\
             admin.enableServer=false\n4lw.commands.whitelist=*\ndataDir={}\n{}",
            self.data.path().display(),
            self.settings
        );
        std::fs::write(&file, settings).unwrap();
        let spawned = Command::new("java")
            .args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .args([
                "-Dzookeeper.forceSync=no",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
            ])
            .args(&self.definitions)
            .args(["-cp", &format!("{SERVER}:{LOGGING}")])
            .arg("org.apache.zookeeper.server.ZooKeeperServerMain")
            .arg(file)
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
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn config(&self) -> ZookeeperConfig {
        ZookeeperConfig {
            servers: vec![self.address()],
            ..ZookeeperConfig::default()
        }
    }

    pub(crate) async fn connect(&self) -> ZookeeperRegistry {
        connect(self.config()).await
    }

    /// The answer to one of the words of four letters.
    pub(crate) async fn word(&self, word: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        stream.write_all(word.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        answer
    }
}

/// Whether there is a ZooKeeper to start. One in a container serves the other tests, but not these: they say aloud that
/// they are left out, and where servers must be had they fail.
fn is_installed() -> bool {
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    let java = std::env::split_paths(&search_path).any(|folder| folder.join("java").is_file());
    if java && Path::new(SERVER).is_file() && Path::new(LOGGING).is_file() {
        return true;
    }
    let needed = "this test restarts or configures a ZooKeeper of its own and needs java on the PATH and the jars of \
                  Debian's packages zookeeper and libslf4j-java";
    let is_set = |name| std::env::var(name).is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
    assert!(
        !["CI", "MICRO_REQUIRE_BACKENDS"].into_iter().any(is_set),
        "{needed}"
    );
    // Past the capture of the test's output, which nobody would see.
    let _ = writeln!(std::io::stderr(), "skipped: {needed}");
    false
}

/// Connects as soon as the server is up.
pub(crate) async fn connect(config: ZookeeperConfig) -> ZookeeperRegistry {
    let until = Instant::now() + PATIENCE;
    loop {
        match ZookeeperRegistry::connect(config.clone()).await {
            Ok(registry) => return registry,
            Err(error) if Instant::now() > until => panic!("ZooKeeper did not come up: {error}"),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

pub(crate) fn greeter(node: &str) -> ServiceRecord {
    ServiceRecord::new("greeter", "1").with_nodes(vec![Node::new(node, "127.0.0.1:9101")])
}

/// Registers as core's loop does: until it works.
pub(crate) async fn register(registry: &ZookeeperRegistry, record: &ServiceRecord) {
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
