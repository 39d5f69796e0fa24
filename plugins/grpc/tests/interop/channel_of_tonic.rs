//! A bare channel of tonic that goes by what Micro knows of nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use micro_core::handler::wrapper_fn;
use micro_core::registry::{MemoryRegistry, Registry};
use micro_core::selector::{Criteria, Filter, NodeChange, NodeChanges};
use micro_core::service::RunningService;
use micro_core::{Body, Client, Handler, Request, Response, Service};
use micro_grpc::{GrpcConfig, GrpcTransport};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::channel::Change;
use tonic::transport::{Channel, Endpoint};

use crate::callers_of_tonic::Caller;
use crate::message::{Payload, soon};

/// A channel to the nodes of a service that speak gRPC, and what keeps it up to date.
fn channel(client: &Client, service: &'static str) -> (Channel, AbortOnDropHandle<()>) {
    let criteria = Criteria {
        filters: Filter::transport("grpc", "grpc").into(),
        key: None,
    };
    let mut nodes = NodeChanges::new(client.selector().clone(), service, criteria);
    let (channel, changes) = Channel::balance_channel(16);
    let following = tokio::spawn(async move {
        loop {
            let change = match nodes.next().await {
                NodeChange::Insert(node) => {
                    let endpoint = Endpoint::from_shared(format!("http://{}", node.address()));
                    Change::Insert(node.id().clone(), endpoint.unwrap())
                }
                NodeChange::Remove(node) => Change::Remove(node.id().clone()),
            };
            if changes.send(change).await.is_err() {
                return;
            }
        }
    });
    (channel, AbortOnDropHandle::new(following))
}

struct Node {
    service: RunningService,
    calls: Arc<AtomicU64>,
}

impl Node {
    async fn start(registry: &Arc<MemoryRegistry>) -> Self {
        let calls = Arc::new(AtomicU64::new(0));
        let counted = calls.clone();
        let answer = wrapper_fn(move |mut request: Request, _: Arc<dyn Handler>| {
            counted.fetch_add(1, Ordering::Relaxed);
            let body: Body = request.take_body();
            async move {
                sleep(Duration::from_millis(1)).await;
                Ok(Response::new(body))
            }
        });
        let transport = GrpcTransport::new(GrpcConfig::default()).unwrap();
        let service = Service::builder("interop")
            .registry(registry.clone())
            .transport(Arc::new(transport))
            .address("127.0.0.1:0")
            .wrap_server(answer);
        let service = service.build().unwrap().start().await.unwrap();
        Self { service, calls }
    }

    async fn is_called(&self) {
        let began = Instant::now();
        while self.calls.load(Ordering::Relaxed) < 50 {
            assert!(began.elapsed() < Duration::from_secs(20), "nobody calls it");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_of_tonic_follows_nodes_and_fails_no_call_when_one_leaves_in_order() {
    let registry = Arc::new(MemoryRegistry::new());
    // Of another transport: none for this channel.
    let other = micro_core::registry::Node::new("other", "127.0.0.1:9").with_metadata("protocol", "mucp");
    let record = micro_core::registry::ServiceRecord::new("interop", "latest").with_nodes(vec![other]);
    registry.register(&record, Default::default()).await.unwrap();
    let transport = GrpcTransport::new(GrpcConfig::default()).unwrap();
    let client = Client::new(registry.clone(), Arc::new(transport));
    let (channel, _following) = channel(&client, "interop");

    let mut nodes = vec![Node::start(&registry).await, Node::start(&registry).await];
    let ends = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let (mut caller, ends) = (Caller::over(channel.clone()), ends.clone());
        callers.spawn(async move {
            let mut calls = 0_u64;
            while !ends.load(Ordering::Relaxed) {
                let answer = soon(caller.unary("Call", tonic::Request::new(Payload::new("x")))).await;
                assert_eq!(answer.unwrap().into_inner(), Payload::new("x"));
                calls += 1;
            }
            calls
        });
    }
    for _ in 0..4 {
        for node in &nodes {
            node.is_called().await;
        }
        nodes.remove(0).service.stop().await.unwrap();
        nodes.push(Node::start(&registry).await);
    }
    for node in &nodes {
        node.is_called().await;
    }
    ends.store(true, Ordering::Relaxed);
    let calls: u64 = soon(callers.join_all()).await.into_iter().sum();
    assert!(calls > 300, "{calls}");
    for node in nodes {
        node.service.stop().await.unwrap();
    }
}
