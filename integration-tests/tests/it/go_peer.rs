//! Builds, starts and stops the peer in Go.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::OnceCell;
use tokio::time::timeout;

/// How long anything of the peer may take: generous, because it is met only by failing tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("go-peer")
}

/// The peer's program, built once; `None` where there is no Go and none is required.
pub(crate) async fn program() -> Option<PathBuf> {
    static BUILT: OnceCell<Option<PathBuf>> = OnceCell::const_new();
    BUILT.get_or_init(build).await.clone()
}

async fn build() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-peer");
    build_with_go(&folder(), &["."], &program)
        .await
        .then_some(program)
}

/// Builds packages of a Go module. False where there is no Go and none is required.
pub(crate) async fn build_with_go(module: &Path, packages: &[&str], output: &Path) -> bool {
    if Command::new("go")
        .arg("version")
        .stdout(Stdio::null())
        .status()
        .await
        .is_err()
    {
        let required =
            std::env::var_os("CI").is_some() || std::env::var_os("MICRO_REQUIRE_BACKENDS").is_some();
        assert!(
            !required,
            "Go is required here (CI or MICRO_REQUIRE_BACKENDS is set) and is not installed"
        );
        eprintln!("LEFT OUT: tests against peers in Go need Go, which is not installed");
        return false;
    }
    let build = Command::new("go")
        .arg("build")
        .arg("-o")
        .arg(output)
        .args(packages)
        .current_dir(module)
        .output();
    let built = build.await.unwrap();
    assert!(
        built.status.success(),
        "{packages:?} of {} do not build: {}",
        module.display(),
        String::from_utf8_lossy(&built.stderr)
    );
    true
}

/// A process whose standard output is read line by line. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let command = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Its log, which would drown the tests' own output.
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            input: child.stdin.take(),
            lines,
            child,
        }
    }

    /// The next line.
    pub(crate) async fn line(&mut self) -> Option<String> {
        timeout(PATIENCE, self.lines.next_line())
            .await
            .expect("the peer says nothing")
            .unwrap()
    }

    /// Skips to a line that begins so, and returns the rest of it.
    pub(crate) async fn line_after(&mut self, beginning: &str) -> String {
        while let Some(line) = self.line().await {
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
        panic!("the peer ended without a line that begins with {beginning:?}");
    }

    /// Skips to a line that has this, and returns it.
    pub(crate) async fn line_with(&mut self, part: &str) -> String {
        while let Some(line) = self.line().await {
            if line.contains(part) {
                return line;
            }
        }
        panic!("the peer ended without a line that has {part:?}");
    }

    /// Everything that is still said.
    pub(crate) async fn rest(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(line);
        }
        lines
    }

    /// Ends the standard input.
    pub(crate) fn end_input(&mut self) {
        self.input = None;
    }

    /// Ends the standard input, which stops servers, and waits for the end.
    pub(crate) async fn stop(mut self) {
        self.input = None;
        let status = timeout(PATIENCE, self.child.wait())
            .await
            .expect("the peer does not stop")
            .unwrap();
        assert!(status.success(), "the peer ended with {status}");
    }
}

/// A greeter in Go that listens on loopback, registered nowhere, and its address.
pub(crate) async fn server(program: &Path) -> (Process, String) {
    let mut command = Command::new(program);
    command.args([
        "server",
        "--name",
        "interop.greeter",
        "--address",
        "127.0.0.1:0",
        "--registry",
        "memory",
    ]);
    let mut server = Process::start(command.arg("--until-stdin-closes"));
    let address = server.line_after("listening ").await;
    server.line_after("registered").await;
    (server, address)
}

/// What the caller in Go prints.
pub(crate) async fn call(program: &Path, arguments: &[&str]) -> Vec<String> {
    let mut caller = Process::start(Command::new(program).args(arguments));
    let lines = caller.rest().await;
    caller.stop().await;
    lines
}
