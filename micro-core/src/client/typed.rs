//! Typed calls: encode, call, decode.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::task::AbortOnDropHandle;

use super::Client;
use crate::codec::{Envelope, JSON, Message, PROTOBUF, Plain, Role};
use crate::error::CLIENT;
use crate::handler::{CallKind, Format, Lot, Lots, StreamSender, Streaming, outgoing};
use crate::{Body, Error, Request, Response, Result, Text};

/// What generated clients know of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    endpoint: &'static str,
    idempotent: bool,
}

impl Method {
    /// A method by its endpoint, `Handler.Method`.
    pub const fn new(endpoint: &'static str) -> Self {
        Self {
            endpoint,
            idempotent: false,
        }
    }

    /// States that its handler may safely run more than once for a request.
    #[must_use]
    pub const fn idempotent(self) -> Self {
        Self {
            idempotent: true,
            ..self
        }
    }
}

impl Client {
    /// Calls an endpoint with one message for one, in protobuf unless the options say otherwise.
    ///
    /// Dropping the future cancels the call at the far side.
    ///
    /// # Errors
    ///
    /// What the far handler answered, or what kept the request from it.
    pub async fn call<Req: Message, Resp: Message>(
        &self,
        service: impl Into<Text>,
        endpoint: impl Into<Text>,
        request: &Req,
    ) -> Result<Resp> {
        self.exchange(Request::new(service, endpoint, Body::empty()), request, &PROTOBUF)
            .await
    }

    /// Calls an endpoint over plain serde types, in JSON unless the options say otherwise.
    ///
    /// # Errors
    ///
    /// What the far handler answered, or what kept the request from it.
    pub async fn call_plain<Req, Resp>(
        &self,
        service: impl Into<Text>,
        endpoint: impl Into<Text>,
        request: Req,
    ) -> Result<Resp>
    where
        Req: Serialize + DeserializeOwned + Send + Sync + 'static,
        Resp: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let message = Plain::new(request);
        let request = Request::new(service, endpoint, Body::empty());
        let response: Plain<Resp> = self.exchange(request, &message, &JSON).await?;
        response
            .into_inner()
            .ok_or_else(|| Error::new(CLIENT, 500, "the response is empty"))
    }

    /// Calls a method of a generated client with one message for one.
    ///
    /// # Errors
    ///
    /// What the far handler answered, or what kept the request from it.
    pub async fn unary<Req: Message, Resp: Message>(
        &self,
        service: &Text,
        method: Method,
        request: &Req,
    ) -> Result<Resp> {
        let mut call = Request::new(service, Text::from_static(method.endpoint), Body::empty());
        call.idempotent = method.idempotent;
        self.exchange(call, request, &PROTOBUF).await
    }

    /// Calls a method of a generated client with one message for many.
    ///
    /// # Errors
    ///
    /// What kept the request from the far handler. What the handler answers may also come at the end of the stream.
    pub async fn server_streaming<Req: Message, Resp: Message>(
        &self,
        service: &Text,
        method: Method,
        request: &Req,
    ) -> Result<Streaming<Resp>> {
        let format = self.format(Text::from_static(method.endpoint), &PROTOBUF);
        let mut request = Request::new(service, format.endpoint.clone(), format.encode(request)?);
        request.idempotent = method.idempotent;
        request.content_type = format.content_type.clone();
        request.kind = CallKind::Stream;
        let response = self.request(request).await?;
        Ok(Streaming::new(response.body, format.with_role(Role::Response)))
    }

    /// Calls a method of a generated client with many messages for one.
    ///
    /// # Errors
    ///
    /// None now; they come with the answer. The call runs at once, in a task that lives as long as the stream.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime, which the task needs.
    pub fn client_streaming<Req: Message, Resp: Message>(
        &self,
        service: &Text,
        method: Method,
    ) -> Result<ClientStream<Req, Resp>> {
        let (sender, replies) = self.bidirectional_streaming(service, method)?;
        Ok(ClientStream { sender, replies })
    }

    /// Calls a method of a generated client with many messages for many.
    ///
    /// Either side may speak first. Dropping the sender ends this direction; dropping the replies ends the call.
    ///
    /// # Errors
    ///
    /// None now; they come with the replies. The call runs at once, in a task that lives as long as the replies.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime, which the task needs.
    pub fn bidirectional_streaming<Req: Message, Resp: Message>(
        &self,
        service: &Text,
        method: Method,
    ) -> Result<(StreamSender<Req>, Streaming<Resp>)> {
        let format = self.format(Text::from_static(method.endpoint), &PROTOBUF);
        let (sender, sent) = outgoing(format.clone());
        let mut request = Request::new(service, format.endpoint.clone(), Body::lots(sent));
        request.idempotent = method.idempotent;
        request.content_type = format.content_type.clone();
        request.kind = CallKind::Stream;
        let client = self.clone();
        // The answer's head may come only after our messages, so somebody must run the call while they are sent.
        let opening = AbortOnDropHandle::new(tokio::spawn(async move { client.request(request).await }));
        let body = Body::lots(Opened::Opening(opening));
        Ok((sender, Streaming::new(body, format.with_role(Role::Response))))
    }

    fn format(&self, endpoint: Text, default: &Text) -> Format {
        let content_type = self.content_type(default).clone();
        Format::new(
            &self.stack.codecs,
            content_type,
            endpoint,
            Text::new(),
            Role::Request,
        )
    }

    pub(super) fn content_type<'a>(&'a self, default: &'a Text) -> &'a Text {
        let chosen = self.scope.as_ref().and_then(|scope| scope.content_type());
        chosen.unwrap_or(default)
    }

    /// One message for one: fills in the request's body and reads the answer's.
    async fn exchange<Req: Message, Resp: Message>(
        &self,
        mut request: Request,
        message: &Req,
        default: &Text,
    ) -> Result<Resp> {
        let codecs = &self.stack.codecs;
        let endpoint = request.endpoint.clone();
        let located = |error: Error| error.context(&endpoint);
        let mut content_type = self.content_type(default).clone();
        let envelope = Envelope {
            role: Role::Request,
            endpoint: &endpoint,
            id: "",
        };
        request.body = codecs
            .encode(&content_type, message, &envelope)
            .map_err(located)?
            .into();
        request.content_type = content_type.clone();
        let response = self.request(request).await?;
        if !response.content_type.is_empty() {
            content_type = response.content_type;
        }
        let (body, mut answer) = (response.body.single().await?, Resp::default());
        codecs
            .decode(&content_type, body, &mut answer, Role::Response)
            .map_err(located)?;
        Ok(answer)
    }
}

/// A streamed answer, from before it is there.
enum Opened {
    Opening(AbortOnDropHandle<Result<Response>>),
    Open(Body),
    Ended,
}

impl Lots for Opened {
    fn poll_lot(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Lot>>> {
        let opened = &mut *self;
        if let Self::Opening(opening) = opened {
            *opened = match ready!(Pin::new(opening).poll(context)) {
                Ok(Ok(response)) => Self::Open(response.body),
                Ok(Err(error)) => return opened.end(error),
                Err(problem) => {
                    return opened.end(Error::internal(
                        CLIENT,
                        format!("the call's task failed: {problem}"),
                    ));
                }
            };
        }
        match opened {
            Self::Open(body) => body.poll_lot(context),
            _ => Poll::Ready(None),
        }
    }
}

impl Opened {
    fn end(&mut self, error: Error) -> Poll<Option<Result<Lot>>> {
        *self = Self::Ended;
        Poll::Ready(Some(Err(error)))
    }
}

/// A call of many messages for one.
pub struct ClientStream<Req, Resp> {
    sender: StreamSender<Req>,
    replies: Streaming<Resp>,
}

impl<Req: Message, Resp: Message> ClientStream<Req, Resp> {
    /// Sends a message. Waits while the far side reads too slowly.
    ///
    /// # Errors
    ///
    /// When the message cannot be written, or the far side has answered already; [`finish`](Self::finish) then
    /// gives its answer or error.
    pub async fn send(&self, message: Req) -> Result<()> {
        self.sender.send(message).await
    }

    /// Ends the messages and waits for the answer.
    ///
    /// # Errors
    ///
    /// What the far handler answered, or what kept the messages from it.
    pub async fn finish(self) -> Result<Resp> {
        let Self { sender, mut replies } = self;
        drop(sender);
        let answer = replies.message().await?;
        answer.ok_or_else(|| Error::new(CLIENT, 500, "the far side ended the stream without an answer"))
    }
}

impl<Req, Resp> fmt::Debug for ClientStream<Req, Resp> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientStream")
            .field("replies", &self.replies)
            .finish_non_exhaustive()
    }
}
