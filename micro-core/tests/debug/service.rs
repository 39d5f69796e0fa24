//! Services to ask, and ways to ask them.

use std::sync::Arc;
use std::time::Duration;

use micro_core::codec::Message;
use micro_core::handler::{Context, IntoEndpoints, endpoint_fn};
use micro_core::service::RunningService;
use micro_core::transport::MemoryTransport;
use micro_core::{Client, Error, Result, Service, ServiceBuilder};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Fails a test that hangs.
pub async fn within<F: Future>(future: F) -> F::Output {
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, future)
        .await
        .expect("done within 20 s")
}

pub fn builder(name: &str) -> ServiceBuilder {
    let mut builder = Service::builder(name).address("127.0.0.1:0");
    builder.options_mut().notice = Duration::from_millis(1);
    builder
}

pub fn in_memory(name: &str) -> ServiceBuilder {
    builder(name).transport(Arc::new(MemoryTransport::new()))
}

pub async fn start(builder: ServiceBuilder) -> RunningService {
    builder.build().unwrap().start().await.unwrap()
}

pub fn hello() -> impl IntoEndpoints + Send {
    endpoint_fn("Greeter.Hello", |_: Context, name: String| async move {
        match &*name {
            "" => Err(Error::conflict("greeter", "nobody to greet")),
            name => Ok(format!("Hello {name}")),
        }
    })
}

pub async fn greet(client: &Client, name: &str) -> Result<String> {
    client
        .call_plain("greeter", "Greeter.Hello", name.to_owned())
        .await
}

pub async fn ask<Req: Message, Resp: Message>(
    service: &RunningService,
    endpoint: &'static str,
    request: Req,
) -> Resp {
    let name = service.record().name.as_str();
    within(service.client().call(name, endpoint, &request))
        .await
        .unwrap()
}

/// Sends bytes and returns all that comes until the other side closes.
pub async fn exchange(address: &str, request: &str) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    within(connection.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

pub async fn get(address: &str, path: &str) -> (u16, Value) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = exchange(address, &request).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}
