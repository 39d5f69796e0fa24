//! Raw hyper: HTTP/1.1 with the headers of a Go Micro call, and nothing above it.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Announce, Caller, Peer};

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/protobuf");

pub(crate) struct Hyper;

impl Peer for Hyper {
    type Caller = HyperCaller;

    async fn serve(_: Option<SocketAddr>, announce: Announce) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("hyper cannot listen on loopback")?;
        announce(&listener.local_addr()?);
        let mut connections = JoinSet::new();
        loop {
            let (socket, _) = listener
                .accept()
                .await
                .context("hyper cannot accept a connection")?;
            while connections.try_join_next().is_some() {}
            connections.spawn(serve_connection(socket));
        }
    }

    async fn connect(address: &str, _: Option<SocketAddr>, callers: usize) -> Result<Vec<HyperCaller>> {
        let mut connected = Vec::with_capacity(callers);
        for _ in 0..callers {
            connected.push(HyperCaller::connect(address).await?);
        }
        Ok(connected)
    }
}

async fn serve_connection(socket: TcpStream) -> Result<()> {
    socket.set_nodelay(true)?;
    let echo = service_fn(echo);
    // A caller that goes away ends its connection, with or without an error; neither says anything about the server.
    Ok(hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(socket), echo)
        .await?)
}

async fn echo(request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    let body = request.into_body().collect().await?.to_bytes();
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, PROTOBUF);
    Ok(response)
}

/// A caller with a connection of its own.
pub(crate) struct HyperCaller {
    sender: SendRequest<Full<Bytes>>,
    headers: HeaderMap,
    /// The connection's task, which ends with the caller.
    _connection: JoinSet<()>,
}

impl HyperCaller {
    async fn connect(address: &str) -> Result<Self> {
        let unreachable = || format!("hyper cannot connect to {address}");
        let socket = TcpStream::connect(address).await.with_context(unreachable)?;
        socket.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
            .await
            .with_context(unreachable)?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            // The call that is under way fails with the same error and reports it.
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            headers: headers(address)?,
            _connection: task,
        })
    }
}

impl Caller for HyperCaller {
    async fn call(&mut self, payload: Bytes) -> Result<Bytes> {
        let mut request = Request::new(Full::new(payload));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static("/");
        *request.headers_mut() = self.headers.clone();
        self.sender
            .ready()
            .await
            .context("hyper's connection is closed")?;
        let response = self
            .sender
            .send_request(request)
            .await
            .context("a call with hyper failed")?;
        ensure!(
            response.status() == StatusCode::OK,
            "hyper's server answered {}",
            response.status()
        );
        Ok(response
            .into_body()
            .collect()
            .await
            .context("hyper's answer broke off")?
            .to_bytes())
    }
}

/// The headers of a Go Micro call, without `Content-Length`, which hyper writes itself.
fn headers(address: &str) -> Result<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(HOST, HeaderValue::try_from(address)?);
    headers.insert(ACCEPT, PROTOBUF);
    headers.insert(CONTENT_TYPE, PROTOBUF);
    for (name, value) in [
        ("micro-endpoint", "Echo.Call"),
        ("micro-id", "0"),
        ("micro-method", "Echo.Call"),
        ("micro-service", "bench.echo"),
        ("timeout", "5000000000"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    Ok(headers)
}
