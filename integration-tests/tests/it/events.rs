//! Events over the HTTP broker, between Rust and Go, which find each other over mDNS.

use crate::go_peer;
use crate::over_mdns::{WITH_SERVER, has_namespaces, in_namespace};

/// More subscribers beside the one that was started, and waiting for events. They must not hold the pipe open that
/// is their own standard input.
const WITH_EVENTS: &str = r#"
    also() { name=$1; shift; "$@" < "$folder/input" > "$folder/$name" 9>&- &
        for _ in $(seq 600); do grep -q registered "$folder/$name" && return; sleep 0.1; done; exit 4; }
    events() { find "$folder" -type f -exec cat {} + | grep -c "^event" || true; }
    arrived() { for _ in $(seq 300); do [ "$(events)" -ge "$1" ] && return; sleep 0.1; done
        echo "only $(events) events"; cat "$folder"/output; exit 5; }
    said() { sed "s/^/$1: /" "$folder/$1"; }
"#;

async fn run(script: &str) -> Option<String> {
    let go = go_peer::program().await?;
    if !has_namespaces().await {
        return None;
    }
    Some(in_namespace(&go, &[WITH_SERVER, WITH_EVENTS, script].concat()).await)
}

/// The names of the events that a subscriber printed.
fn names(said: &str, subscriber: &str) -> Vec<String> {
    let beginning = format!("{subscriber}: event ");
    let events = said.lines().filter_map(|line| line.strip_prefix(&beginning));
    events
        .map(|event| event.split(' ').next().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test]
async fn go_publishes_and_rust_handles_in_both_codecs() {
    let script = r#"
        start "$RUST" subscribe interop.notice
        "$GO" publish --topic interop.notice --codec json --name json --count 3
        "$GO" publish --topic interop.notice --codec protobuf --name protobuf --count 3
        arrived 6
        said output
    "#;
    let Some(said) = run(script).await else { return };
    let mut names = names(&said, "output");
    // Go Micro delivers each event in a goroutine of its own, so in any order.
    names.sort();
    let published = [
        "json-0",
        "json-1",
        "json-2",
        "protobuf-0",
        "protobuf-1",
        "protobuf-2",
    ];
    assert_eq!(names, published, "{said}");
    assert!(
        said.contains("event json-0 interop.notice application/json"),
        "{said}"
    );
    assert!(
        said.contains("event protobuf-0 interop.notice application/protobuf"),
        "{said}"
    );
}

#[tokio::test]
async fn rust_publishes_and_go_handles_in_both_codecs() {
    let script = r#"
        start "$GO" subscribe --topic interop.notice
        "$RUST" publish interop.notice --codec json --count 3
        "$RUST" publish interop.notice --codec protobuf --count 3
        arrived 6
        said output
    "#;
    let Some(said) = run(script).await else { return };
    let published = ["rust-0", "rust-1", "rust-2"].repeat(2);
    assert_eq!(names(&said, "output"), published, "{said}");
    for codec in ["json", "protobuf"] {
        let line = format!("event rust-2 interop.notice application/{codec}");
        assert!(said.contains(&line), "{said}");
    }
}

#[tokio::test]
async fn a_queue_of_both_languages_shares_its_events() {
    let script = r#"
        start "$RUST" subscribe interop.notice
        also go "$GO" subscribe --topic interop.notice --queue workers
        also rust "$RUST" subscribe interop.notice --queue workers
        "$RUST" publish interop.notice --subscribers 3 --count 20
        "$GO" publish --topic interop.notice --count 20
        arrived 80
        said output; said go; said rust
    "#;
    let Some(said) = run(script).await else { return };
    let mut published: Vec<String> = (0..20)
        .flat_map(|number| [format!("rust-{number}"), format!("go-{number}")])
        .collect();
    published.sort();
    let mut all = names(&said, "output");
    all.sort();
    assert_eq!(all, published, "{said}");
    let (go, rust) = (names(&said, "go"), names(&said, "rust"));
    assert!(!go.is_empty() && !rust.is_empty(), "{said}");
    let mut shared = [go, rust].concat();
    shared.sort();
    assert_eq!(shared, published, "{said}");
}
