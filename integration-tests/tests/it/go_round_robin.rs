//! gRPC's client in Go, with a balancer of its own, calls our nodes while they are restarted one after the other. It
//! knows no registry, and repeats nothing by itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use integration_tests::{GreeterServer, RustGreeter};
use micro::handler::wrapper_fn;
use micro::registry::MemoryRegistry;
use micro::service::RunningService;
use micro::{Handler, Request, Service};
use micro_grpc::{GrpcConfig, GrpcTransport};
use tokio::process::Command;
use tokio::time::sleep;

use crate::go_peer::{PATIENCE, Process, build_with_go};

const NODES: usize = 3;
/// How often each node is restarted.
const ROUNDS: usize = 3;

async fn program() -> Option<PathBuf> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("grpc-go-client");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("grpc-go-client");
    build_with_go(&module, &["."], &program).await.then_some(program)
}

/// A node, and how many calls came to it.
struct Node {
    service: RunningService,
    calls: Arc<AtomicU64>,
}

impl Node {
    async fn start(address: &str) -> Self {
        let calls = Arc::new(AtomicU64::new(0));
        let counted = calls.clone();
        let service = Service::builder("greeter")
            .registry(Arc::new(MemoryRegistry::new()))
            .transport(Arc::new(GrpcTransport::new(GrpcConfig::default()).unwrap()))
            .address(address)
            .handler(GreeterServer::new(RustGreeter))
            .wrap_server(wrapper_fn(move |request: Request, next: Arc<dyn Handler>| {
                counted.fetch_add(1, Ordering::Relaxed);
                async move { next.handle(request).await }
            }));
        let service = service.build().unwrap().start().await.unwrap();
        Self { service, calls }
    }

    /// Waits until the client has met it, and calls it like the others.
    async fn is_called(&self) {
        let began = Instant::now();
        while self.calls.load(Ordering::Relaxed) < 200 {
            assert!(began.elapsed() < PATIENCE, "the client in Go does not call it");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_go_with_round_robin_fails_no_call_while_nodes_are_restarted() {
    let Some(program) = program().await else {
        return;
    };
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        nodes.push(Node::start("127.0.0.1:0").await);
    }
    let addresses: Vec<_> = nodes
        .iter()
        .map(|node| node.service.address().to_owned())
        .collect();
    let mut client = Process::start(Command::new(&program).arg("8").args(&addresses));
    client.line_after("calling").await;
    for turn in 0..NODES * ROUNDS {
        let at = turn % NODES;
        nodes[at].is_called().await;
        nodes.remove(at).service.stop().await.unwrap();
        nodes.insert(at, Node::start(&addresses[at]).await);
    }
    for node in &nodes {
        node.is_called().await;
    }
    client.end_input();
    let said = client.rest().await;
    let total = said.last().unwrap();
    let (called, failed) = total
        .strip_prefix("called ")
        .and_then(|counts| counts.split_once(", failed "))
        .unwrap_or_else(|| panic!("{said:#?}"));
    println!("{NODES} nodes, {} restarts: {total}", NODES * ROUNDS);
    assert_eq!(failed, "0", "{said:#?}");
    assert!(called.parse::<u64>().unwrap() > 1000, "{total}");
    client.stop().await;
    for node in nodes {
        node.service.stop().await.unwrap();
    }
}
