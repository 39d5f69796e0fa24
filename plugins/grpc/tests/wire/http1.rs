//! A caller over HTTP/1.1 that knows nothing, and a service that answers in every way.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use micro_core::transport::Listener;
use micro_core::{Body, Error, Request, Response, Result};
use micro_grpc::GrpcConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::raw::{serve, soon};

/// An answer over HTTP/1.1.
#[derive(Debug)]
pub(crate) struct Plain {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Plain {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// The bytes of a request with a body.
pub(crate) fn post(path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: wire\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut request = (request + "\r\n").into_bytes();
    request.extend_from_slice(body);
    request
}

/// Sends bytes and reads one answer, which leaves the connection as it was.
pub(crate) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &[u8]) -> Plain {
    soon(async {
        stream.write_all(request).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
            .collect();
        let mut answer = Plain {
            status,
            headers,
            body: Vec::new(),
        };
        if answer.header("transfer-encoding") == "chunked" {
            while let Some(chunk) = chunk(stream).await {
                answer.body.extend(chunk);
            }
        } else if !answer.header("content-length").is_empty() {
            let length: usize = answer.header("content-length").parse().unwrap();
            answer.body.resize(length, 0);
            stream.read_exact(&mut answer.body).await.unwrap();
        }
        answer
    })
    .await
}

async fn chunk<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.unwrap());
    }
    let line = String::from_utf8(line).unwrap();
    let length = usize::from_str_radix(line.trim(), 16).unwrap();
    let mut chunk = vec![0; length + 2];
    stream.read_exact(&mut chunk).await.unwrap();
    chunk.truncate(length);
    (length > 0).then_some(chunk)
}

/// One request over a connection of its own.
pub(crate) async fn ask(address: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Plain {
    let mut stream = TcpStream::connect(address).await.unwrap();
    exchange(&mut stream, &post(path, headers, body)).await
}

/// A service with an endpoint for every kind of answer.
pub(crate) async fn serve_all(config: GrpcConfig) -> Box<dyn Listener> {
    serve(config, answer).await
}

/// What a handler that waits for ever holds: tells when it began, and when it was dropped.
#[derive(Default)]
pub(crate) struct Waiting {
    pub(crate) began: Notify,
    pub(crate) dropped: Notify,
}

/// Serves what never answers.
pub(crate) async fn serve_waiting(waiting: Arc<Waiting>) -> Box<dyn Listener> {
    struct Held(Arc<Waiting>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.dropped.notify_one();
        }
    }
    serve(GrpcConfig::default(), move |_| {
        let held = Held(waiting.clone());
        async move {
            held.0.began.notify_one();
            std::future::pending::<Result<Response>>().await
        }
    })
    .await
}

pub(crate) async fn answer(mut request: Request) -> Result<Response> {
    let body = request.take_body();
    let fails = || Error::conflict("interop.fail", "asked to fail: world");
    match request.endpoint.as_str() {
        "Greeter.Hello" => {
            let mut response = Response::new(body.single().await?);
            response.metadata.insert("Answered", "yes");
            Ok(response)
        }
        "Greeter.About" => {
            let about = format!(
                "{:?} {} {} {:?}",
                request.kind,
                request.content_type,
                request
                    .remaining()
                    .map_or(0, |left| left.as_millis().div_ceil(1000)),
                request.metadata.iter().collect::<Vec<_>>(),
            );
            Ok(Response::new(about.into_bytes()))
        }
        "Greeter.Fail" => Err(fails()),
        "Greeter.Count" => {
            let first = body.single().await?;
            let counted = (0..3).map(move |number| Ok(Bytes::from([&first[..], &[b'0' + number]].concat())));
            Ok(Response::new(Body::stream(stream::iter(counted))))
        }
        "Greeter.Break" => {
            let messages = [Ok(Bytes::from_static(b"one")), Err(fails())];
            Ok(Response::new(Body::stream(stream::iter(messages))))
        }
        "Greeter.Echo" => Ok(Response::new(Body::stream(body.map(|message| message)))),
        "Greeter.Large" => Ok(Response::new(vec![b'x'; 300_000])),
        other => Err(Error::not_found(
            "go.micro.server",
            format!("rpc: can't find method {other}"),
        )),
    }
}
