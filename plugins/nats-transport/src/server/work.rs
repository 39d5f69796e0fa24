//! Working on one call or stream.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::stream::unfold;
use micro_core::handler::CallKind;
use micro_core::wire::END_OF_STREAM;
use micro_core::{Body, Error, Response, Result, Text};

use super::sockets::{Incoming, Serving, Socket};
use crate::error;
use crate::flow::Taken;
use crate::frame::{AnswerHeader, Frame};
use crate::mark::Mark;

pub(super) async fn call(serving: Arc<Serving>, socket: Socket, mut frame: Frame) {
    let request = frame.request();
    let content_type = request.content_type.clone();
    let answer = async {
        let answer = serving.handler.handle(request).await;
        let payload = answered(&serving, &frame.id, &content_type, answer);
        let _ = serving
            .connection
            .client()
            .publish(socket.reply.clone(), payload)
            .await;
    };
    tokio::select! {
        biased;
        () = socket.cancel.cancelled() => {}
        () = answer => {}
    }
}

fn answered(serving: &Serving, id: &Text, content_type: &Text, answer: Result<Response>) -> Bytes {
    let client = serving.connection.client();
    let limit = client.max_payload();
    let failed = |error: &Error| {
        let header = AnswerHeader {
            content_type,
            id,
            stream: None,
        };
        header.error(error, limit)
    };
    let Response {
        content_type: format,
        metadata,
        body,
    } = match answer {
        Ok(response) => response,
        Err(error) => return failed(&error),
    };
    let Ok(body) = body.try_into_single() else {
        return failed(&Error::bad_request(
            "go.micro.server",
            "the endpoint answers with a stream; call it as one",
        ));
    };
    let header = AnswerHeader {
        content_type: if format.is_empty() { content_type } else { &format },
        id,
        stream: None,
    };
    let payload = header.message(&metadata, body);
    match payload.len() > limit {
        true => failed(&error::too_large(
            "the answer",
            payload.len(),
            limit,
            serving.connection.servers(),
        )),
        false => payload,
    }
}

pub(super) async fn stream(serving: Arc<Serving>, socket: Socket, incoming: Incoming, mut frame: Frame) {
    let mut request = frame.request();
    request.kind = CallKind::Stream;
    let content_type = request.content_type.clone();
    let flow = incoming.flow.clone();
    // What opens a stream has no meaning beyond that.
    request.body = asked(&serving, &socket, incoming);
    let writer = Writer {
        serving: &serving,
        socket: &socket,
        content_type,
        id: frame.id,
        stream: frame.stream.unwrap_or_default(),
    };
    let answer = async {
        let mut body = match serving.handler.handle(request).await {
            Ok(response) => response.body,
            Err(error) => return writer.error(&error).await,
        };
        while let Some(message) = body.message().await {
            let message = match message {
                Ok(message) => writer.header().message(&Default::default(), message),
                Err(error) => return writer.error(&error).await,
            };
            let limit = serving.connection.client().max_payload();
            if message.len() > limit {
                let servers = serving.connection.servers();
                let error = error::too_large("a message of the stream", message.len(), limit, servers);
                return writer.error(&error).await;
            }
            flow.take().await;
            writer.send(message).await;
        }
        writer.send(writer.header().end(END_OF_STREAM)).await;
    };
    tokio::select! {
        biased;
        () = socket.cancel.cancelled() => {}
        () = answer => {}
    }
}

/// What the caller sends, as a body. Reading it is what lets the caller send more.
fn asked(serving: &Arc<Serving>, socket: &Socket, incoming: Incoming) -> Body {
    struct Asked {
        serving: Arc<Serving>,
        reply: async_nats::Subject,
        incoming: Incoming,
        taken: Taken,
    }
    let asked = Asked {
        serving: serving.clone(),
        reply: socket.reply.clone(),
        incoming,
        taken: Taken::new(serving.config.stream_window),
    };
    Body::stream(unfold(Some(asked), |asked| async {
        let mut asked = asked?;
        let Some(message) = asked.incoming.messages.recv().await else {
            // What was cut short must not look whole, not even to who outlives the stream.
            return match asked.incoming.caller_ended.load(Ordering::Acquire) {
                true => None,
                false => Some((Err(error::caller_gone()), None)),
            };
        };
        if let (Some(more), true) = (asked.taken.one(), asked.incoming.is_counted) {
            let headers = Mark::Grant(more).headers();
            let client = asked.serving.connection.client();
            let _ = client
                .publish_with_headers(asked.reply.clone(), headers, Bytes::new())
                .await;
        }
        Some((message, Some(asked)))
    }))
}

struct Writer<'a> {
    serving: &'a Serving,
    socket: &'a Socket,
    content_type: Text,
    id: Text,
    stream: Text,
}

impl Writer<'_> {
    fn header(&self) -> AnswerHeader<'_> {
        AnswerHeader {
            content_type: &self.content_type,
            id: &self.id,
            stream: Some(&self.stream),
        }
    }

    /// NATS says at the reply subject if nobody hears it.
    async fn send(&self, payload: Bytes) {
        let client = self.serving.connection.client();
        let _ = client
            .publish_with_reply(self.socket.reply.clone(), self.socket.returns.clone(), payload)
            .await;
    }

    async fn error(&self, error: &Error) {
        let limit = self.serving.connection.client().max_payload();
        self.send(self.header().error(error, limit)).await;
    }
}
