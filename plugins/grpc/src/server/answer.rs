//! What a call is answered with: head, messages, status.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderMap, HeaderValue, Response as HttpResponse};
use micro_core::{Body, Error, Response};
use tokio::time::timeout;

use crate::config::{Compression, GrpcConfig};
use crate::content_type::Format;
use crate::framing::{ACCEPTED, GZIP, reads_gzip};
use crate::metadata::{self, GRPC_ACCEPT_ENCODING, GRPC_ENCODING};
use crate::send::{AT_ONCE, End, Outgoing, send_whole};
use crate::status::{self, GRPC_STATUS};

/// Answers one call. Dropped before it did, it resets the call.
pub(super) struct Answerer {
    respond: SendResponse<Bytes>,
    compression: Compression,
    /// The caller may compress what it sends, and is told what is read here.
    may_compress: bool,
    write_timeout: Duration,
}

impl Answerer {
    pub(super) fn new(respond: SendResponse<Bytes>, headers: &HeaderMap, config: &GrpcConfig) -> Self {
        let compression = match config.compression.is_on() && reads_gzip(headers, &GRPC_ACCEPT_ENCODING) {
            true => config.compression,
            false => Compression::None,
        };
        Self {
            respond,
            compression,
            may_compress: headers.contains_key(GRPC_ENCODING),
            write_timeout: config.limits.write_timeout,
        }
    }

    /// Ready when nobody waits for the answer any more.
    pub(super) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.respond.poll_reset(context).map(drop)
    }

    /// Answers with an error and nothing else.
    pub(super) fn fail(mut self, format: &Format, error: &Error) {
        let mut response = HttpResponse::new(());
        let headers = response.headers_mut();
        format.write(headers);
        if error.code() == 501 {
            headers.insert(GRPC_ACCEPT_ENCODING, ACCEPTED);
        }
        status::write(error, headers);
        let _ = self.respond.send_response(response, true);
    }

    pub(super) async fn answer(mut self, format: &Format, response: Response) {
        let Response {
            content_type,
            metadata,
            body,
        } = response;
        let mut head = HttpResponse::new(());
        let headers = head.headers_mut();
        let is_written = match content_type.is_empty() || content_type == format.content_type {
            true => format.write(headers),
            false => Format::of(&content_type).write(headers),
        };
        if !is_written {
            let error = Error::server(
                500,
                format!("the content type {content_type:?} cannot travel over gRPC"),
            );
            return self.fail(format, &error);
        }
        if self.compression.is_on() {
            headers.insert(GRPC_ENCODING, GZIP);
        }
        if self.may_compress {
            headers.insert(GRPC_ACCEPT_ENCODING, ACCEPTED);
        }
        if let Err(error) = metadata::write(&metadata, headers) {
            return self.fail(format, &Error::server(500, error.detail().to_owned()));
        }
        let trailers = match metadata::trailers(&metadata) {
            Ok(trailers) => trailers,
            Err(error) => return self.fail(format, &Error::server(500, error.detail().to_owned())),
        };
        let Ok(stream) = self.respond.send_response(head, false) else {
            return;
        };
        match body.try_into_single() {
            Ok(message) => self.one(stream, message, trailers).await,
            Err(body) => self.many(stream, body, trailers).await,
        }
    }

    async fn one(self, mut stream: SendStream<Bytes>, message: Bytes, trailers: Option<Box<HeaderMap>>) {
        if message.len() > AT_ONCE {
            // Boxed, so that what is rare does not make every call's future larger.
            return Box::pin(self.large(stream, message, trailers)).await;
        }
        let (message, is_compressed) = self.compression.compress(message);
        let result = send_whole(&mut stream, message, is_compressed, false);
        finish(&mut stream, result, trailers);
    }

    async fn large(self, stream: SendStream<Bytes>, message: Bytes, trailers: Option<Box<HeaderMap>>) {
        let mut outgoing = Outgoing::new(stream, self.compression);
        let end = timeout(self.write_timeout, outgoing.send(message.into())).await;
        let mut stream = outgoing.into_stream();
        match end {
            Ok(end) => finish_with(&mut stream, end, trailers),
            Err(_) => {
                let limit = self.write_timeout;
                tracing::debug!(?limit, "a caller did not take its answer within write_timeout");
                stream.send_reset(Reason::CANCEL);
            }
        }
    }

    async fn many(self, stream: SendStream<Bytes>, mut body: Body, trailers: Option<Box<HeaderMap>>) {
        let mut outgoing = Outgoing::new(stream, self.compression);
        let end = poll_fn(|context| outgoing.poll_send(&mut body, context)).await;
        // What the body holds ends before the caller learns of the end.
        drop(body);
        finish_with(&mut outgoing.into_stream(), end, trailers);
    }
}

fn finish_with(stream: &mut SendStream<Bytes>, end: End, trailers: Option<Box<HeaderMap>>) {
    match end {
        End::Whole => finish(stream, Ok(()), trailers),
        End::Failed(error) => finish(stream, Err(error), trailers),
        End::Gone => {}
    }
}

/// Says how the call ended.
fn finish(stream: &mut SendStream<Bytes>, result: Result<(), Error>, trailers: Option<Box<HeaderMap>>) {
    let mut trailers = trailers.map_or_else(|| HeaderMap::with_capacity(1), |trailers| *trailers);
    match result {
        Ok(()) => {
            trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
        }
        Err(error) => status::write(&error, &mut trailers),
    }
    let _ = stream.send_trailers(trailers);
}
