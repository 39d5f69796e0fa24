//! Rust and Go find each other over mDNS, in a network namespace that has nothing but loopback: Go Micro's mDNS
//! joins every interface and has no option against it.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::go_peer;

/// Whether this machine lets us make a network namespace.
pub(crate) async fn has_namespaces() -> bool {
    let script = go_peer::folder().join("in-namespace.sh");
    let tried = Command::new(script)
        .arg("true")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
    if tried.is_ok_and(|status| status.success()) {
        return true;
    }
    let required = std::env::var_os("CI").is_some() || std::env::var_os("MICRO_REQUIRE_BACKENDS").is_some();
    assert!(
        !required,
        "network namespaces are required here (CI or MICRO_REQUIRE_BACKENDS is set): run as root"
    );
    eprintln!(
        "LEFT OUT: mDNS tests with Go Micro need network namespaces, which this machine does not give us"
    );
    false
}

/// Runs a shell script in a namespace of its own; `$GO` and `$RUST` are the peers.
pub(crate) async fn in_namespace(go: &Path, script: &str) -> String {
    let mut command = Command::new(go_peer::folder().join("in-namespace.sh"));
    command
        .args(["sh", "-euc", script])
        .env("GO", go)
        .env("RUST", env!("CARGO_BIN_EXE_rust-peer"));
    let run = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(go_peer::PATIENCE, run)
        .await
        .expect("the script hangs")
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// Starts a server whose standard input is a pipe that the script holds open, and waits until it is registered.
pub(crate) const WITH_SERVER: &str = r#"
    folder=$(mktemp -d); trap 'exec 9>&-; wait; rm -rf "$folder"' EXIT
    mkfifo "$folder/input"
    start() { "$@" < "$folder/input" > "$folder/output" & exec 9> "$folder/input"
        for _ in $(seq 600); do grep -q registered "$folder/output" && return; sleep 0.1; done; exit 3; }
"#;

#[tokio::test]
async fn rust_finds_and_calls_go() {
    let Some(go) = go_peer::program().await else {
        return;
    };
    if !has_namespaces().await {
        return;
    }
    let script = r#"
        start "$GO" server --name interop.go --address 127.0.0.1:0 --registry mdns --until-stdin-closes
        "$RUST" list
        "$RUST" call interop.go
    "#;
    let said = in_namespace(&go, &[WITH_SERVER, script].concat()).await;
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.contains(&"interop.go"), "{said}");
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("Hello mdns from go-micro")),
        "{said}"
    );
    assert_eq!(
        lines[lines.len() - 4..],
        ["count 1", "count 2", "count 3", "end"],
        "{said}"
    );
}

#[tokio::test]
async fn go_finds_and_calls_rust() {
    let Some(go) = go_peer::program().await else {
        return;
    };
    if !has_namespaces().await {
        return;
    }
    let script = r#"
        start "$RUST" server interop.rust
        "$GO" list
        "$GO" get interop.rust
        "$GO" call --service interop.rust --endpoint Greeter.Hello --codec protobuf --body '{"name":"mdns"}'
        "$GO" stream --service interop.rust --endpoint Greeter.Count --codec json --messages 3
    "#;
    let said = in_namespace(&go, &[WITH_SERVER, script].concat()).await;
    assert!(said.contains(r#""protocol":"mucp""#), "{said}");
    assert!(said.contains("Greeter.Hello"), "{said}");
    assert!(said.contains("Hello mdns"), "{said}");
    assert!(
        said.contains(r#""seq":"3""#) && said.trim_end().ends_with("end"),
        "{said}"
    );
}

#[tokio::test]
async fn the_two_languages_hear_each_other_leave() {
    let Some(go) = go_peer::program().await else {
        return;
    };
    if !has_namespaces().await {
        return;
    }
    let script = r#"
        "$GO" watch interop.leaving > "$folder/watched" & watching=$!
        for _ in $(seq 600); do grep -q watching "$folder/watched" && break; sleep 0.1; done
        start "$RUST" server interop.leaving
        exec 9>&-
        for _ in $(seq 600); do grep -q delete "$folder/watched" && break; sleep 0.1; done
        kill $watching
        cat "$folder/watched"
    "#;
    let said = in_namespace(&go, &[WITH_SERVER, script].concat()).await;
    assert!(
        said.contains(r#""Action":"create""#) && said.contains(r#""Action":"delete""#),
        "{said}"
    );
}
