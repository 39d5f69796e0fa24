//! The same bytes to our framing and to hyper's: where we take them, hyper must see the same bodies.
//!
//! We refuse more: two statements about the length, requests that end before they begin anew with HTTP/1.0, bare
//! line feeds between chunks. Where hyper refuses and we do not, nothing about bodies or boundaries is at stake:
//!
//! - a request's target that is no URI: nobody looks at it here;
//! - `CONNECT`: hyper hands the connection to the caller, we answer and close.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use micro_core::transport::http::HttpLimits;
use micro_core::transport::http::probe::{self, Seen};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Gives its pieces one by one, then the end; takes everything written.
pub struct Pieces {
    pieces: Vec<Bytes>,
    /// Whether the first piece comes only once something was written, and who waits for that.
    is_answer: bool,
    waker: Option<Waker>,
}

impl Pieces {
    /// Cuts bytes at sizes that repeat.
    pub fn new(bytes: &[u8], sizes: &[usize]) -> Self {
        let (mut pieces, mut rest) = (Vec::new(), bytes);
        for size in sizes.iter().cycle() {
            let (piece, behind) = rest.split_at((*size).clamp(1, rest.len().max(1)).min(rest.len()));
            if piece.is_empty() {
                break;
            }
            pieces.push(Bytes::copy_from_slice(piece));
            rest = behind;
        }
        pieces.reverse();
        Self {
            pieces,
            is_answer: false,
            waker: None,
        }
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.is_answer {
            self.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        if let Some(mut piece) = self.pieces.pop() {
            let now = piece.split_to(piece.len().min(buffer.remaining()));
            buffer.put_slice(&now);
            if !piece.is_empty() {
                self.pieces.push(piece);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.is_answer = false;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

async fn hypers_requests(io: Pieces) -> Vec<Bytes> {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
        let bodies = bodies.clone();
        async move {
            if let Ok(body) = request.into_body().collect().await {
                bodies.lock().unwrap().push(body.to_bytes());
            }
            Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::new())))
        }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(io), service)
        .await;
    let bodies = bodies.lock().unwrap();
    bodies.clone()
}

async fn hypers_response(mut io: Pieces) -> Option<Seen> {
    io.is_answer = true;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io))
        .await
        .unwrap();
    let request = http::Request::post("/")
        .header("host", "a")
        .body(Full::new(Bytes::new()))
        .unwrap();
    let exchange = async {
        let response = sender.send_request(request).await.ok()?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some(Seen { status, body })
    };
    let (seen, _) = tokio::join!(exchange, connection);
    seen
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

pub const HEADERS: &[&str] = &[
    "Host: a",
    "Foo: bar",
    "Foo:",
    "Foo : bar",
    "Foo\t: bar",
    "Foo: a\r\n folded",
    "Foo: a\r\n\tfolded",
    "Content-Length: 3",
    "Content-Length: 3",
    "Content-Length:3 ",
    "Content-Length: 0",
    "Content-Length: 5",
    "content-length: 03",
    "Content-Length: +3",
    "Content-Length: -3",
    "Content-Length: 3, 3",
    "Content-Length: 3,",
    "Content-Length: 0x3",
    "Content-Length: 3 3",
    "Content-Length:",
    "Content-Length: 99999999999999999999",
    "Content_Length: 3",
    "Content-Length : 3",
    " Content-Length: 3",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: Chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding:chunked ",
    "Transfer-Encoding:",
    "Connection: close",
    "Connection: keep-alive",
    "Connection: foo, close , bar",
    "Connection: close, keep-alive",
    "Expect: 100-continue",
    "Foo: \0",
    "Foo: a\rb",
    ": nameless",
    "no colon",
    "",
];

pub const BODIES: &[&str] = &[
    "",
    "abc",
    "abcde",
    "3\r\nabc\r\n0\r\n\r\n",
    "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    "3;x=y\r\nabc\r\n0;z\r\n\r\n",
    "3;x=\"a\r\nabc\r\n0\r\n\r\n",
    "3 \r\nabc\r\n0\r\n\r\n",
    " 3\r\nabc\r\n0\r\n\r\n",
    "03\r\nabc\r\n00\r\n\r\n",
    "3\nabc\n0\n\n",
    "3\r\r\nabc\r\n0\r\n\r\n",
    "3;\r\nabc\r\n0\r\n\r\n",
    "3;a\nb\r\nabc\r\n0\r\n\r\n",
    "3\r\nabcd\r\n0\r\n\r\n",
    "3\r\nab\r\n0\r\n\r\n",
    "+3\r\nabc\r\n0\r\n\r\n",
    "-3\r\nabc\r\n0\r\n\r\n",
    "0x3\r\nabc\r\n0\r\n\r\n",
    "3_\r\nabc\r\n0\r\n\r\n",
    "A\r\n0123456789\r\n0\r\n\r\n",
    "ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "10000000000000003\r\nabc\r\n0\r\n\r\n",
    "7fffffff\r\nabc",
    "3\r\nabc\r\n0\r\nTrailer: 1\r\n\r\n",
    "3\r\nabc\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n",
    "3\r\nabc\r\n0\r\nno trailer\r\n\r\n",
    "3\r\nabc\r\n0\r\nA: b\r\n c\r\n\r\n",
    "3\r\nabc\r\n0\r\n",
    "3\r\nabc\r\n\r\n",
    "0\r\n\r\n",
    "0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
];

const REQUEST_LINES: &[&str] = &[
    "POST / HTTP/1.1",
    "POST / HTTP/1.1",
    "POST / HTTP/1.1",
    "GET / HTTP/1.1",
    "HEAD / HTTP/1.1",
    "POST / HTTP/1.0",
    "\r\nPOST / HTTP/1.1",
    "\n\nPOST / HTTP/1.1",
    "POST  / HTTP/1.1",
    "POST / HTTP/1.1 ",
    " POST / HTTP/1.1",
    "POST / HTTP/2.0",
    "POST / HTTP/0.9",
    "POST /",
    "POST http://a/b?c HTTP/1.1",
    "POST * HTTP/1.1",
    "POST [a HTTP/1.1",
    "CONNECT a:1 HTTP/1.1",
    "P\0ST / HTTP/1.1",
];

const STATUS_LINES: &[&str] = &[
    "HTTP/1.1 200 OK",
    "HTTP/1.1 200 OK",
    "HTTP/1.1 200",
    "HTTP/1.1 200 ",
    "HTTP/1.0 200 OK",
    "HTTP/1.1 500 Oh\tno",
    "HTTP/1.1 204 No Content",
    "HTTP/1.1 304 Not Modified",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK",
    "HTTP/1.1 102 Wait\r\nContent-Length: 3\r\n\r\nHTTP/1.1 103 Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK",
    "HTTP/1.1 100 Continue",
    "HTTP/1.1 99 Low",
    "HTTP/1.1 600 High",
    "HTTP/1.1 2000 Long",
    "HTTP/2 200",
    "\r\nHTTP/1.1 200 OK",
    "HTTP/1.1  200 OK",
];

/// A message of a first line, headers and a body that may not belong together, with ends of lines mostly in order.
pub fn message(lines: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let end = || prop_oneof![30 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("\n\r")];
    let header = (select(HEADERS), end()).prop_map(|(header, end)| format!("{header}{end}"));
    (select(lines), end(), vec(header, 0..4), end(), select(BODIES)).prop_map(
        |(line, end, headers, empty, body)| {
            format!("{line}{end}{}{empty}{body}", headers.concat()).into_bytes()
        },
    )
}

pub fn requests() -> impl Strategy<Value = Vec<u8>> {
    vec(message(REQUEST_LINES), 1..3).prop_map(|messages| messages.concat())
}

pub fn responses() -> impl Strategy<Value = Vec<u8>> {
    message(STATUS_LINES)
}

/// Some bytes, a few of which were replaced, inserted or taken out.
pub fn mutated(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let mutation = (
        any::<prop::sample::Index>(),
        0..3_u8,
        select(b"\r\n\t ;:,0a\0\xff".to_vec()),
    );
    (bytes, vec(mutation, 0..4)).prop_map(|(mut bytes, mutations)| {
        for (index, kind, byte) in mutations {
            let at = index.index(bytes.len() + 1);
            match kind {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                2 if at < bytes.len() => drop(bytes.remove(at)),
                _ => {}
            }
        }
        bytes
    })
}

pub fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![usize::MAX]), Just(vec![1]), vec(1..40_usize, 1..5)]
}

/// What hyper refuses, or hands over, because of the first line alone.
const ONLY_HERE: &[&[u8]] = &[b"POST [a ", b"CONNECT "];

/// How many messages we took.
fn requests_agree(bytes: &[u8], sizes: &[usize]) -> usize {
    let is_only_here = |line: &&[u8]| bytes.windows(line.len()).any(|window| window == *line);
    if ONLY_HERE.iter().any(is_only_here) {
        return 0;
    }
    runtime().block_on(async {
        let limits = HttpLimits::default();
        let (ours, refused) = probe::read(Pieces::new(bytes, sizes), true, &limits).await;
        let theirs = hypers_requests(Pieces::new(bytes, sizes)).await;
        let ours: Vec<_> = ours.into_iter().map(|seen| seen.body).collect();
        assert!(
            theirs.starts_with(&ours),
            "{:?}: we saw {ours:?} then {refused:?}, hyper {theirs:?}",
            String::from_utf8_lossy(bytes)
        );
        ours.len()
    })
}

fn responses_agree(bytes: &[u8], sizes: &[usize]) {
    runtime().block_on(async {
        let limits = HttpLimits::default();
        let (ours, refused) = probe::read(Pieces::new(bytes, sizes), false, &limits).await;
        let theirs = hypers_response(Pieces::new(bytes, sizes)).await;
        if let Some(ours) = ours.into_iter().next() {
            assert_eq!(
                Some(&ours),
                theirs.as_ref(),
                "{:?} {refused:?}",
                String::from_utf8_lossy(bytes)
            );
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(4000), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_that_we_take_hyper_takes_alike(bytes in requests(), sizes in sizes()) {
        requests_agree(&bytes, &sizes);
    }

    #[test]
    fn responses_that_we_take_hyper_takes_alike(bytes in responses(), sizes in sizes()) {
        responses_agree(&bytes, &sizes);
    }
}

/// How many cases a property is tried on; `MICRO_CASES` multiplies it for a long run.
pub fn cases(usual: u32) -> u32 {
    let factor = std::env::var("MICRO_CASES")
        .ok()
        .and_then(|factor| factor.parse().ok());
    usual.saturating_mul(factor.unwrap_or(1))
}

/// Every pair of headers with every body: what random choice would meet late.
#[test]
fn every_pair_of_headers_is_taken_as_hyper_takes_it() {
    let mut taken = 0;
    for first in HEADERS {
        for second in HEADERS {
            for body in BODIES.iter().step_by(if std::env::var("MICRO_CASES").is_ok() {
                1
            } else {
                3
            }) {
                let bytes =
                    format!("POST / HTTP/1.1\r\n{first}\r\n{second}\r\n\r\n{body}GET / HTTP/1.1\r\n\r\n");
                taken += requests_agree(bytes.as_bytes(), &[usize::MAX]);
                let bytes = format!("HTTP/1.1 200 OK\r\n{first}\r\n{second}\r\n\r\n{body}");
                responses_agree(bytes.as_bytes(), &[usize::MAX]);
            }
        }
    }
    assert!(taken > 3000, "a comparison of {taken} messages says little");
}
