//! What a service answers about itself, asked in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use micro_core::debug::Diagnostics;
use micro_core::handler::{Endpoint, handler_fn};
use micro_core::registry::MemoryRegistry;
use micro_core::service::RunningService;
use micro_core::{Error, Request, Response, Service};
use micro_grpc::{GrpcConfig, GrpcTransport};

use crate::raw::{connect, head, soon};

const GRPC: &[(&str, &str)] = &[("content-type", "application/grpc+proto")];

/// The file `g.proto` of the package `a` with the service `Greeter` and its method `Hello`.
const FILE: &[u8] = b"\x0a\x07g.proto\x12\x01a\x32\x12\x0a\x07Greeter\x12\x07\x0a\x05Hello\x62\x06proto3";
const SET: &[u8] =
    b"\x0a\x28\x0a\x07g.proto\x12\x01a\x32\x12\x0a\x07Greeter\x12\x07\x0a\x05Hello\x62\x06proto3";

const SERVING: &[u8] = b"\0\0\0\0\x02\x08\x01";
const NOT_SERVING: &[u8] = b"\0\0\0\0\x02\x08\x02";

/// A service that is well while the flag is set.
async fn start(well: Arc<AtomicBool>) -> RunningService {
    let diagnostics = Diagnostics::default();
    let transport = GrpcTransport::new(GrpcConfig {
        diagnostics: Some(diagnostics.clone()),
        ..GrpcConfig::default()
    });
    let echo = handler_fn(|mut request: Request| async move { Ok(Response::new(request.take_body())) });
    let mut builder = Service::builder("greeter")
        .address("127.0.0.1:0")
        .registry(Arc::new(MemoryRegistry::new()))
        .transport(Arc::new(transport.unwrap()))
        .diagnostics(diagnostics)
        .health_check("flag", move || {
            let well = well.load(Ordering::SeqCst);
            async move {
                well.then_some(())
                    .ok_or_else(|| Error::internal("flag", "not set"))
            }
        })
        .handler(Endpoint::new("Greeter.Hello", echo).with_descriptors(SET));
    builder.options_mut().notice = Duration::from_millis(1);
    builder.build().unwrap().start().await.unwrap()
}

#[tokio::test]
async fn health_is_that_of_the_service_and_its_checks() {
    let well = Arc::new(AtomicBool::new(true));
    let service = start(well.clone()).await;
    let mut caller = connect(service.address()).await;
    let check = |name: &'static [u8]| (head("/grpc.health.v1.Health/Check", GRPC), name);
    for name in [
        &b"\0\0\0\0\0"[..],
        b"\0\0\0\0\x09\x0a\x07greeter",
        b"\0\0\0\0\x0b\x0a\x09a.Greeter",
    ] {
        let (head, body) = check(name);
        let answer = caller.call(head, body).await.unwrap();
        assert_eq!((answer.body.as_slice(), answer.grpc_status()), (SERVING, "0"));
    }
    let (unknown, body) = check(b"\0\0\0\0\x03\x0a\x01x");
    assert_eq!(caller.call(unknown, body).await.unwrap().grpc_status(), "5");
    let list = head("/grpc.health.v1.Health/List", GRPC);
    let answer = caller.call(list, b"\0\0\0\0\0").await.unwrap();
    assert_eq!(
        answer.body[5..],
        *b"\x0a\x04\x12\x02\x08\x01\x0a\x0f\x0a\x09a.Greeter\x12\x02\x08\x01\x0a\x0d\x0a\x07greeter\x12\x02\x08\x01"
    );
    well.store(false, Ordering::SeqCst);
    let (head, body) = check(b"\0\0\0\0\0");
    assert_eq!(caller.call(head, body).await.unwrap().body, NOT_SERVING);
    soon(service.stop()).await.unwrap();
}

#[tokio::test]
async fn a_watched_service_tells_what_changes_and_ends_when_it_stops() {
    let well = Arc::new(AtomicBool::new(true));
    let service = start(well.clone()).await;
    let mut caller = connect(service.address()).await;
    let (response, mut sender) = caller
        .requests
        .send_request(head("/grpc.health.v1.Health/Watch", GRPC), false)
        .unwrap();
    sender.send_data(Bytes::from_static(b"\0\0\0\0\0"), true).unwrap();
    let mut answer = soon(response).await.unwrap().into_body();
    for (is_well, expected) in [(true, SERVING), (false, NOT_SERVING), (true, SERVING)] {
        well.store(is_well, Ordering::SeqCst);
        assert_eq!(soon(answer.data()).await.unwrap().unwrap(), expected);
    }
    let stopping = tokio::spawn(service.stop());
    assert_eq!(soon(answer.data()).await.unwrap().unwrap(), NOT_SERVING);
    soon(async { while answer.data().await.is_some_and(|data| data.is_ok()) {} }).await;
    soon(stopping).await.unwrap().unwrap();
}

#[tokio::test]
async fn reflection_knows_services_and_files_in_both_versions() {
    let service = start(Arc::new(AtomicBool::new(true))).await;
    let mut caller = connect(service.address()).await;
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let answer = caller
            .call(head(&path, GRPC), b"\0\0\0\0\x02\x3a\0")
            .await
            .unwrap();
        assert_eq!(
            answer.body,
            b"\0\0\0\0\x13\x12\x02\x3a\0\x32\x0d\x0a\x0b\x0a\x09a.Greeter"
        );
        // Several questions on one call: a symbol, a file, and what is not there.
        let questions =
            b"\0\0\0\0\x11\x22\x0fa.Greeter.Hello\0\0\0\0\x09\x1a\x07g.proto\0\0\0\0\x03\x22\x01x";
        let answer = caller.call(head(&path, GRPC), questions).await.unwrap();
        assert_eq!(answer.grpc_status(), "0");
        let found = answer.body.windows(FILE.len()).filter(|part| *part == FILE);
        assert_eq!(found.count(), 2, "{:?}", answer.body);
        assert!(answer.body.ends_with(br#"the symbol "x" is not known here"#));
    }
    soon(service.stop()).await.unwrap();
}

#[tokio::test]
async fn a_service_that_tells_nothing_leaves_the_questions_to_its_handlers() {
    let listener = crate::raw::serve_echo(GrpcConfig::default()).await;
    let mut caller = connect(listener.address()).await;
    let check = head("/grpc.health.v1.Health/Check", GRPC);
    let answer = caller.call(check, b"\0\0\0\0\x01x").await.unwrap();
    assert_eq!(answer.body, b"\0\0\0\0\x01x");
}
