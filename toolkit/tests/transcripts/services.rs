//! The services that transcripts meet.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use hello::{Greeter, HelloServer};
use micro::debug::Record;
use micro::handler::{Endpoint, endpoint_fn, handler_fn, raw_endpoint};
use micro::registry::{Node, RegisterOptions, ServiceRecord, Value};
use micro::service::RunningService;
use micro::{Arguments, Body, Context, Error, Registry, Request, Response, Settings};
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;

/// Services on the loopback, which meet on a multicast port of their own.
pub(crate) struct World {
    port: u16,
    // Held, so that no other test is given the port.
    _reserved: UdpSocket,
    _registry: Arc<dyn Registry>,
    _services: Vec<RunningService>,
    _runtime: Runtime,
}

impl World {
    /// Two nodes of `greeter`, one of `counter`, and the record of a node that has died.
    pub(crate) fn start() -> Self {
        let reserved = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = reserved.local_addr().unwrap().port();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (services, registry) = runtime.block_on(async {
            let services = vec![
                greeter(port, "1").await,
                greeter(port, "2").await,
                counter(port).await,
            ];
            let registry = settings(port, &[]).connect_registry().await.unwrap();
            let ghost = ServiceRecord::new("ghost", "0.1.0").with_nodes(vec![
                Node::new("ghost-1", "127.0.0.1:1").with_metadata("protocol", "mucp"),
            ]);
            registry
                .register(&ghost, RegisterOptions::default())
                .await
                .unwrap();
            (services, registry)
        });
        Self {
            port,
            _reserved: reserved,
            _registry: registry,
            _services: services,
            _runtime: runtime,
        }
    }

    pub(crate) fn registry_address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn settings(port: u16, more: &[&str]) -> Settings {
    let place = format!("--registry_address=127.0.0.1:{port}");
    let mut words = vec![place.as_str(), "--server_address=127.0.0.1:0"];
    words.extend(more);
    Arguments::new("unnamed")
        .parse_from(words, [("", ""); 0])
        .unwrap()
}

async fn greeter(port: u16, id: &str) -> RunningService {
    let id = format!("--server_id={id}");
    let words = [
        "--server_name=greeter",
        "--server_version=1.2.0",
        &id,
        "--server_metadata=zone=eu",
    ];
    let builder = settings(port, &words).service().await.unwrap();
    builder
        .handler(HelloServer::new(Greeter))
        .build()
        .unwrap()
        .start()
        .await
        .unwrap()
}

async fn counter(port: u16) -> RunningService {
    let words = ["--server_name=counter", "--server_version=2.0.0", "--server_id=1"];
    let sum = endpoint_fn("Counter.Sum", |_: Context, numbers: Vec<i64>| async move {
        Ok(numbers.iter().sum::<i64>())
    });
    let settings = settings(port, &words);
    let lines = [
        (1_795_258_501, "debug", "\u{1b}[2Jnot for a terminal"),
        (1_795_258_507, "info", "counting"),
        (1_795_258_511, "warn", "almost at the end of numbers"),
    ];
    for (timestamp, level, message) in lines {
        settings.recent_log.push(Record {
            timestamp,
            metadata: [("level", level), ("numbers", "7")]
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            message: message.into(),
        });
    }
    let service = settings
        .service()
        .await
        .unwrap()
        .handler(vec![count(), double(), fail(), sleep(), who()])
        .handler(sum);
    service.build().unwrap().start().await.unwrap()
}

/// As many numbers as are asked for.
fn count() -> Endpoint {
    let count = |mut request: Request| async move {
        let asked = read(request.take_body().single().await?)?;
        let to = asked["to"].as_i64().unwrap_or(3);
        let numbers = (1..=to).map(|value| Ok(json!({ "value": value }).to_string().into()));
        Ok(Response::new(Body::stream(stream::iter(numbers))))
    };
    shaped(
        raw_endpoint("Counter.Count", handler_fn(count)).with_metadata("stream", "true"),
        shape("CountRequest", vec![field("to", "int64")]),
        shape("Number", vec![field("value", "int64")]),
    )
}

/// Each number that comes, twice as large; none that is negative.
fn double() -> Endpoint {
    let double = |mut request: Request| async move {
        let answers = stream::try_unfold(request.take_body(), |mut numbers| async move {
            let Some(number) = numbers.message().await else {
                return Ok(None);
            };
            match read(number?)?["value"].as_i64() {
                Some(value @ 0..) => Ok(Some((json!({ "value": 2 * value }).to_string().into(), numbers))),
                _ => Err(Error::bad_request(
                    "counter",
                    "only numbers from 0 on can be doubled",
                )),
            }
        });
        Ok(Response::new(Body::stream(answers)))
    };
    let number = || shape("Number", vec![field("value", "int64")]);
    shaped(
        raw_endpoint("Counter.Double", handler_fn(double)).with_metadata("stream", "true"),
        number(),
        number(),
    )
}

fn fail() -> Endpoint {
    raw_endpoint(
        "Counter.Fail",
        handler_fn(|_| async { Err(Error::conflict("counter", "the counter is being repaired")) }),
    )
    .with_metadata("description", "Always fails.\nFor tests.")
    .with_metadata("example", "{ \"why\": \"because\" }")
}

fn sleep() -> Endpoint {
    let sleep = |_| async {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        Ok(Response::default())
    };
    raw_endpoint("Counter.Sleep", handler_fn(sleep))
}

/// Tells what came with the request.
fn who() -> Endpoint {
    let who = |request: Request| async move {
        let tenant = request.metadata.get("Tenant").unwrap_or("nobody");
        let text = format!(r#"{{"tenant":"{tenant}","big":12345678901234567890123,"tags":["a","b"]}}"#);
        Ok(Response::new(text.into_bytes()))
    };
    raw_endpoint("Counter.Who", handler_fn(who))
}

fn read(body: bytes::Bytes) -> micro::Result<Json> {
    serde_json::from_slice(&body).map_err(|error| Error::bad_request("counter", error.to_string()))
}

fn shaped(mut endpoint: Endpoint, request: Value, response: Value) -> Endpoint {
    endpoint.record.request = Some(request);
    endpoint.record.response = Some(response);
    endpoint
}

fn shape(name: &str, values: Vec<Value>) -> Value {
    Value {
        name: name.into(),
        kind: name.into(),
        values,
    }
}

fn field(name: &str, kind: &str) -> Value {
    Value {
        name: name.into(),
        kind: kind.into(),
        values: Vec::new(),
    }
}
