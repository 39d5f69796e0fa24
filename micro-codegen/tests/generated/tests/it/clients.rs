//! Generated clients call generated servers, over HTTP on loopback.

use std::path::Path;
use std::time::Duration;

use micro::client::CallOptions;
use micro::codec::JSON;
use micro::protobuf::Timestamp;
use micro::service::RunningService;
use micro::{Context, Result, Service};
use micro_codegen_generated::hello::{CountRequest, HelloClient, HelloServer, Note, Number, PingRequest};
use micro_codegen_generated::nasty::{self, TypeClient, TypeServer};

use crate::calls::{Greeter, Trapped};

async fn started(name: &str) -> RunningService {
    Service::builder(name)
        .address("127.0.0.1:0")
        .handler(HelloServer::new(Greeter))
        .handler(TypeServer::new(Trapped))
        .handler(nasty::EmptyServer::new(Nothing))
        .build()
        .unwrap()
        .start()
        .await
        .unwrap()
}

struct Nothing;

impl nasty::Empty for Nothing {}

#[tokio::test]
async fn each_kind_of_call_arrives() {
    let service = started("kinds").await;
    let client = HelloClient::new("kinds", service.client());

    let answer = client.ping(PingRequest { name: "Ann".into() }).await.unwrap();
    assert_eq!(answer.greeting, "Hello, Ann");

    let mut numbers = client.count(CountRequest { up_to: 3 }).await.unwrap();
    let mut counted = Vec::new();
    while let Some(reply) = numbers.message().await.unwrap() {
        counted.push(reply.number);
    }
    assert_eq!(counted, [1, 2, 3]);

    let sum = client.sum().unwrap();
    for value in [4, 5] {
        sum.send(Number { value }).await.unwrap();
    }
    assert_eq!(sum.finish().await.unwrap().value, 9);

    let (notes, mut replies) = client.chat().unwrap();
    for text in ["a", "b"] {
        notes.send(Note { text: text.into() }).await.unwrap();
        assert_eq!(replies.message().await.unwrap().unwrap().text, text);
    }
    drop(notes);
    assert_eq!(replies.message().await.unwrap(), None);
}

#[tokio::test]
async fn the_format_is_an_option_of_the_client() {
    let service = started("formats").await;
    let options = CallOptions {
        content_type: Some(JSON),
        timeout: Some(Duration::from_secs(10)),
        ..CallOptions::default()
    };
    let client = HelloClient::new("formats", service.client()).with_options(options);
    let answer = client.ping(PingRequest::default()).await.unwrap();
    assert_eq!(answer.served_by, "Hello.Ping");
}

#[tokio::test]
async fn well_known_types_and_names_of_rust_travel() {
    let service = started("traps").await;
    let client = TypeClient::new("traps", service.client());
    #[expect(deprecated, reason = "the proto says so")]
    let time = client.say_http2_please(()).await.unwrap();
    assert_eq!(time.seconds, 1);
    let mut ticks = client.ticks(()).await.unwrap();
    assert_eq!(ticks.message().await.unwrap().unwrap().0, Timestamp::default());
    let collect = client.collect().unwrap();
    collect.send(Timestamp::default().into()).await.unwrap();
    collect.finish().await.unwrap();
    client.new_(nasty::Option::default()).await.unwrap();
    client.r#type(nasty::Message::default()).await.unwrap();
}

/// That a client can be used inside a handler, whose future must be `Send`.
#[expect(
    dead_code,
    clippy::manual_async_fn,
    reason = "it need only compile, with `Send` spelled out"
)]
fn within_a_handler(client: HelloClient, context: Context) -> impl Future<Output = Result<String>> + Send {
    async move {
        let client = client.within(&context);
        Ok(client.ping(PingRequest::default()).await?.greeting)
    }
}

#[test]
fn the_readme_shows_the_example_that_is_compiled() {
    let crate_directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(crate_directory.join(path)).unwrap();
    let readme = read("../../README.md");
    for path in ["examples/greeter.rs", "../protos/greeter.proto"] {
        assert!(
            readme.contains(&read(path)),
            "README.md does not show {path} as it is"
        );
    }
}
