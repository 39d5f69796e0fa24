//! Services of tonic, which know nothing of Micro, called by a client of Micro: at an address, by a name, and where
//! somebody else registered them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use micro_core::client::Method;
use micro_core::debug::Diagnostics;
use micro_core::handler::{Endpoint, handler_fn};
use micro_core::registry::{MemoryRegistry, Node, RegisterOptions, Registry, ServiceRecord};
use micro_core::selector::RoundRobin;
use micro_core::service::RunningService;
use micro_core::{Client, Error, Response, Service, Text};
use micro_grpc::{Compression, ForeignServices, GrpcConfig, GrpcTransport};
use tokio::net::TcpListener;

use crate::message::{Payload, soon};
use crate::service_of_tonic::{Running, serve};

const PACKAGE: Text = Text::from_static("interop");

fn client(services: &ForeignServices) -> Client {
    client_with(services, GrpcConfig::default())
}

fn client_with(services: &ForeignServices, config: GrpcConfig) -> Client {
    let transport = GrpcTransport::new(config).unwrap();
    let client = services.client(Arc::new(transport));
    client.strategy(Arc::new(RoundRobin)).build()
}

async fn call(client: &Client, data: &'static str) -> micro_core::Result<Payload> {
    soon(client.unary(&PACKAGE, Method::new("Echo.Call"), &Payload::new(data))).await
}

/// Makes a call of each of the four kinds, as generated clients make them.
async fn all_kinds(client: &Client) {
    assert_eq!(call(client, "hello").await.unwrap(), Payload::new("hello"));

    let mut counted =
        soon(client.server_streaming::<_, Payload>(&PACKAGE, Method::new("Echo.Count"), &Payload::number(3)))
            .await
            .unwrap();
    for number in 0..3 {
        let message = soon(counted.message()).await.unwrap();
        assert_eq!(message, Some(Payload::number(number)));
    }
    assert_eq!(soon(counted.message()).await.unwrap(), None);

    let sum = client
        .client_streaming::<Payload, Payload>(&PACKAGE, Method::new("Echo.Sum"))
        .unwrap();
    for number in 0..10 {
        soon(sum.send(Payload::number(number))).await.unwrap();
    }
    assert_eq!(soon(sum.finish()).await.unwrap(), Payload::number(45));

    let (sender, mut echoes) = client
        .bidirectional_streaming::<Payload, Payload>(&PACKAGE, Method::new("Echo.Stream"))
        .unwrap();
    for number in 0..10 {
        soon(sender.send(Payload::number(number))).await.unwrap();
        let echo = soon(echoes.message()).await.unwrap();
        assert_eq!(echo, Some(Payload::number(number)));
    }
    drop(sender);
    assert_eq!(soon(echoes.message()).await.unwrap(), None);
}

fn port(tonic: &Running) -> &str {
    tonic.address.rsplit_once(':').unwrap().1
}

#[tokio::test]
async fn a_service_is_called_at_its_address() {
    let tonic = serve().await;
    let services = ForeignServices::new().at("interop", [&tonic.address]).unwrap();
    all_kinds(&client(&services)).await;
    let authorities = tonic.seen.authorities.lock().unwrap().clone();
    assert_eq!(authorities, vec![tonic.address.clone(); 4]);
}

#[tokio::test]
async fn a_service_is_called_by_the_name_of_its_host() {
    let tonic = serve().await;
    for prefix in ["dns:", "dns:///", ""] {
        let target = format!("{prefix}localhost:{}", port(&tonic));
        let services = ForeignServices::new().at("interop", [target]).unwrap();
        all_kinds(&client(&services)).await;
    }
    let authorities = tonic.seen.authorities.lock().unwrap().clone();
    assert_eq!(authorities, vec![format!("localhost:{}", port(&tonic)); 12]);
}

#[tokio::test]
async fn a_service_is_called_where_somebody_else_registered_it() {
    let tonic = serve().await;
    let registry = Arc::new(MemoryRegistry::new());
    let node = Node::new("tonic-1", &tonic.address)
        .with_metadata("protocol", "http2")
        .with_metadata("transport", "tcp");
    let record = ServiceRecord::new("echo-service", "17").with_nodes(vec![node]);
    registry
        .register(&record, RegisterOptions::default())
        .await
        .unwrap();
    let services = ForeignServices::new().registered("interop", registry.clone(), "echo-service");
    let client = client(&services);
    all_kinds(&client).await;
    registry.deregister(&record).await.unwrap();
    let error = loop {
        // The client hears of it a moment later.
        match call(&client, "hello").await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), 404, "{error}");
}

#[tokio::test]
async fn a_package_without_a_name_is_called_too() {
    let tonic = serve().await;
    let services = ForeignServices::new().at("", [&tonic.address]).unwrap();
    // No service is there by that name; that it is asked for is enough.
    let answer = client(&services)
        .unary::<_, Payload>(&Text::new(), Method::new("Echo.Call"), &Payload::new("x"))
        .await;
    let error = answer.unwrap_err();
    assert_eq!(error.code(), 501, "{error}");
}

#[tokio::test]
async fn all_addresses_are_called_in_turn_and_one_where_nobody_is_fails_no_call() {
    let (first, second) = (serve().await, serve().await);
    let targets = [first.address.clone(), format!("localhost:{}", port(&second))];
    let calls = |tonic: &Running| tonic.seen.authorities.lock().unwrap().len();
    let services = ForeignServices::new().at("interop", &targets).unwrap();
    let both = client(&services);
    for _ in 0..20 {
        call(&both, "hello").await.unwrap();
    }
    assert_eq!((calls(&first), calls(&second)), (10, 10));
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let services = services.at("interop", targets.iter().chain([&nobody])).unwrap();
    let three = client(&services);
    for _ in 0..20 {
        call(&three, "hello").await.unwrap();
    }
    assert_eq!(calls(&first) + calls(&second), 40);
}

/// One of our own services, which answers with its name and is well while the flag is set. Others see gRPC alone.
async fn well_while(name: &'static str, well: &Arc<AtomicBool>) -> RunningService {
    let diagnostics = Diagnostics::default();
    let transport = GrpcTransport::new(GrpcConfig {
        diagnostics: Some(diagnostics.clone()),
        ..GrpcConfig::default()
    });
    let well = well.clone();
    let answer = handler_fn(move |_| async move { Ok(Response::new(Payload::new(name).bytes())) });
    let mut service = Service::builder("interop")
        .registry(Arc::new(MemoryRegistry::new()))
        .transport(Arc::new(transport.unwrap()))
        .address("127.0.0.1:0")
        .diagnostics(diagnostics)
        .health_check("flag", move || {
            let well = well.load(Ordering::SeqCst);
            async move {
                well.then_some(())
                    .ok_or_else(|| Error::internal("flag", "not set"))
            }
        })
        .handler(Endpoint::new("Echo.Call", answer));
    service.options_mut().notice = Duration::from_millis(1);
    service.build().unwrap().start().await.unwrap()
}

/// Calls until the last twenty calls were answered by just these.
async fn until_answered_by(client: &Client, names: &[&'static str]) {
    let wanted: BTreeSet<_> = names.iter().map(|name| Payload::new(*name).data).collect();
    soon(async {
        loop {
            let mut answered = BTreeSet::new();
            for _ in 0..20 {
                answered.insert(call(client, "who?").await.unwrap().data);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            if answered == wanted {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_node_that_says_it_does_not_serve_is_not_called_unless_none_does() {
    let flags = [true, true].map(|well| Arc::new(AtomicBool::new(well)));
    let first = well_while("first", &flags[0]).await;
    let second = well_while("second", &flags[1]).await;
    // One that does not know what health is.
    let tonic = serve().await;
    let services = ForeignServices::new()
        .at("interop", [first.address(), second.address()])
        .unwrap()
        .health("interop", "");
    let two = client(&services);
    until_answered_by(&two, &["first", "second"]).await;
    flags[0].store(false, Ordering::SeqCst);
    until_answered_by(&two, &["second"]).await;
    flags[1].store(false, Ordering::SeqCst);
    until_answered_by(&two, &["first", "second"]).await;
    flags[0].store(true, Ordering::SeqCst);
    until_answered_by(&two, &["first"]).await;
    let all = [first.address(), second.address(), &tonic.address];
    let services = services.at("interop", all).unwrap();
    until_answered_by(&client(&services), &["first", "who?"]).await;
    // The connections of those who ask end with their clients, or the services would wait for them.
    drop(two);
    soon(first.stop()).await.unwrap();
    soon(second.stop()).await.unwrap();
}

#[tokio::test]
async fn only_who_says_that_it_reads_gzip_is_sent_any() {
    let tonic = serve().await;
    let services = ForeignServices::new().at("interop", [&tonic.address]).unwrap();
    let compressing = GrpcConfig {
        compression: Compression::Gzip { from: 0 },
        connections: 1,
        ..GrpcConfig::default()
    };
    let encoding = || {
        let seen = tonic.seen.metadata.lock().unwrap();
        let encoding = seen.get("grpc-encoding");
        encoding.map(|encoding| encoding.to_str().unwrap().to_owned())
    };
    let client = client_with(&services, compressing.clone());
    for expected in ["identity", "identity"] {
        call(&client, "hello").await.unwrap();
        assert_eq!(encoding().as_deref(), Some(expected), "it said nothing");
    }
    for expected in ["identity", "gzip", "gzip"] {
        call(&client, "gzip? hello").await.unwrap();
        assert_eq!(encoding().as_deref(), Some(expected));
    }
    all_kinds(&client).await;
    assert_eq!(encoding().as_deref(), Some("gzip"));

    let assuming = GrpcConfig {
        assume_gzip: true,
        ..compressing
    };
    call(&client_with(&services, assuming), "hello").await.unwrap();
    assert_eq!(encoding().as_deref(), Some("gzip"));
    call(&client_with(&services, GrpcConfig::default()), "hello")
        .await
        .unwrap();
    assert_eq!(encoding(), None);
}
