//! Typed functions as handlers: decode, call, encode.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::stream::{Format, Running, outgoing};
use super::{Body, Context, Handler, Request, Response, StreamSender, Streaming};
use crate::codec::{Codecs, Envelope, Message, Plain, Role, Slot};
use crate::error::SERVER;
use crate::registry::{self, Value};
use crate::{Error, Result, Text};

/// Something that can be called: its name, what answers it, and how the registry describes it.
pub struct Endpoint {
    /// `Handler.Method`.
    pub name: Text,
    /// What answers it.
    pub handler: Arc<dyn Handler>,
    /// How the registry describes it; the name is filled in when the server is built.
    pub record: registry::Endpoint,
    /// Whether the registry is not told of it.
    pub is_internal: bool,
    /// A `FileDescriptorSet` of Protobuf, encoded, in which its service and all types are, for those who ask what
    /// there is to call. Empty: there is none.
    pub descriptors: &'static [u8],
}

impl Endpoint {
    /// An endpoint of which the registry knows the name only.
    pub fn new(name: impl Into<Text>, handler: impl Handler) -> Self {
        Self {
            name: name.into(),
            handler: Arc::new(handler),
            record: registry::Endpoint::default(),
            is_internal: false,
            descriptors: &[],
        }
    }

    /// Keeps it out of the registry: only who knows of it calls it.
    #[must_use]
    pub fn internal(mut self) -> Self {
        self.is_internal = true;
        self
    }

    /// Adds a pair to the metadata of the registry's record, such as `description`.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.record.metadata.insert(key.into(), value.into());
        self
    }

    /// States the [descriptors](Self::descriptors). Generated code does.
    #[must_use]
    pub fn with_descriptors(mut self, descriptors: &'static [u8]) -> Self {
        self.descriptors = descriptors;
        self
    }

    fn shaped(mut self, request: Value, response: Value) -> Self {
        self.record.request = Some(request);
        self.record.response = Some(response);
        self
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Endpoint")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What a server can be given: one endpoint or a set of them, made for the codecs of that server.
pub trait IntoEndpoints {
    /// The endpoints.
    fn into_endpoints(self, codecs: &Codecs) -> Vec<Endpoint>;
}

impl IntoEndpoints for Endpoint {
    fn into_endpoints(self, _: &Codecs) -> Vec<Endpoint> {
        vec![self]
    }
}

impl IntoEndpoints for Vec<Endpoint> {
    fn into_endpoints(self, _: &Codecs) -> Vec<Endpoint> {
        self
    }
}

/// One message in, one message out. Generated code implements it for each such method.
pub trait Unary<Req, Resp>: Send + Sync + 'static {
    /// Answers a request.
    fn call(&self, context: &mut Context, request: Req) -> impl Future<Output = Result<Resp>> + Send;
}

/// Many messages in, one message out.
pub trait ClientStreaming<Req, Resp>: Send + Sync + 'static {
    /// Answers the requests.
    fn call(
        &self,
        context: &mut Context,
        requests: Streaming<Req>,
    ) -> impl Future<Output = Result<Resp>> + Send;
}

/// One message in, many messages out.
pub trait ServerStreaming<Req, Resp>: Send + Sync + 'static {
    /// Answers a request.
    ///
    /// With an error the stream ends when this returns. With `Ok` it ends when every clone of `replies` is dropped
    /// too, so that a clone kept elsewhere may go on sending.
    fn call(
        &self,
        context: &mut Context,
        request: Req,
        replies: StreamSender<Resp>,
    ) -> impl Future<Output = Result<()>> + Send;
}

/// Many messages in, many messages out.
pub trait BidirectionalStreaming<Req, Resp>: Send + Sync + 'static {
    /// Answers the requests.
    ///
    /// With an error the stream ends when this returns. With `Ok` it ends when every clone of `replies` is dropped
    /// too, so that a clone kept elsewhere may go on sending.
    fn call(
        &self,
        context: &mut Context,
        requests: Streaming<Req>,
        replies: StreamSender<Resp>,
    ) -> impl Future<Output = Result<()>> + Send;
}

/// An endpoint from something that answers one message with one.
pub fn unary<Req: Message, Resp: Message>(
    name: impl Into<Text>,
    codecs: &Codecs,
    method: impl Unary<Req, Resp>,
) -> Endpoint {
    Endpoint::new(name, Typed::new(method, codecs, UnaryShape))
        .shaped(schema_value::<Req>(), schema_value::<Resp>())
}

/// An endpoint from something that answers many messages with one.
pub fn client_streaming<Req: Message, Resp: Message>(
    name: impl Into<Text>,
    codecs: &Codecs,
    method: impl ClientStreaming<Req, Resp>,
) -> Endpoint {
    Endpoint::new(name, Typed::new(method, codecs, ClientStreamingShape))
        .shaped(schema_value::<Req>(), schema_value::<Resp>())
        .with_metadata("stream", "true")
}

/// An endpoint from something that answers one message with many.
pub fn server_streaming<Req: Message, Resp: Message>(
    name: impl Into<Text>,
    codecs: &Codecs,
    method: impl ServerStreaming<Req, Resp>,
) -> Endpoint {
    Endpoint::new(name, Typed::new(Arc::new(method), codecs, ServerStreamingShape))
        .shaped(schema_value::<Req>(), schema_value::<Resp>())
        .with_metadata("stream", "true")
}

/// An endpoint from something that answers many messages with many.
pub fn bidirectional_streaming<Req: Message, Resp: Message>(
    name: impl Into<Text>,
    codecs: &Codecs,
    method: impl BidirectionalStreaming<Req, Resp>,
) -> Endpoint {
    Endpoint::new(
        name,
        Typed::new(Arc::new(method), codecs, BidirectionalStreamingShape),
    )
    .shaped(schema_value::<Req>(), schema_value::<Resp>())
    .with_metadata("stream", "true")
}

/// An endpoint from an async function over serde types: no `.proto` needed.
///
/// Callers speak any content type that carries serde types, such as JSON.
///
/// ```
/// use micro_core::handler::{endpoint_fn, Context};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Numbers { left: i64, right: i64 }
///
/// let add = endpoint_fn("Math.Add", |_: Context, numbers: Numbers| async move {
///     Ok(numbers.left + numbers.right)
/// });
/// ```
pub fn endpoint_fn<F, Fut, Req, Resp>(name: impl Into<Text>, function: F) -> EndpointFn<F, Req, Resp>
where
    F: Fn(Context, Req) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Resp>> + Send + 'static,
    Req: Serialize + DeserializeOwned + Send + Sync + 'static,
    Resp: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    EndpointFn {
        name: name.into(),
        function,
        types: PhantomData,
    }
}

/// See [`endpoint_fn`].
#[derive(Debug)]
pub struct EndpointFn<F, Req, Resp> {
    name: Text,
    function: F,
    types: PhantomData<fn(Req) -> Resp>,
}

impl<F, Fut, Req, Resp> IntoEndpoints for EndpointFn<F, Req, Resp>
where
    F: Fn(Context, Req) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Resp>> + Send + 'static,
    Req: Serialize + DeserializeOwned + Send + Sync + 'static,
    Resp: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    fn into_endpoints(self, codecs: &Codecs) -> Vec<Endpoint> {
        vec![unary(
            self.name,
            codecs,
            PlainFunction {
                function: self.function,
                types: self.types,
            },
        )]
    }
}

/// An endpoint from a handler that reads and writes bodies itself.
pub fn raw_endpoint(name: impl Into<Text>, handler: impl Handler) -> Endpoint {
    Endpoint::new(name, handler)
}

/// A function over serde types as a method over messages.
struct PlainFunction<F, Req, Resp> {
    function: F,
    types: PhantomData<fn(Req) -> Resp>,
}

impl<F, Fut, Req, Resp> Unary<Plain<Req>, Plain<Resp>> for PlainFunction<F, Req, Resp>
where
    F: Fn(Context, Req) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Resp>> + Send + 'static,
    Req: Serialize + DeserializeOwned + Send + Sync + 'static,
    Resp: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    async fn call(&self, context: &mut Context, request: Plain<Req>) -> Result<Plain<Resp>> {
        let request = request.into_inner().ok_or_else(|| {
            Error::bad_request(SERVER, format!("{}: the request is empty", context.endpoint()))
        })?;
        (self.function)(context.take(), request).await.map(Plain::new)
    }
}

/// How the registry describes messages of a type.
pub(crate) fn schema_value<M: Message>() -> Value {
    M::schema().map_or_else(unknown_shape::<M>, |schema| schema.to_value())
}

fn unknown_shape<M: Message>() -> Value {
    let name = Slot::type_name(&M::default());
    Value {
        name: name.into(),
        kind: name.into(),
        values: Vec::new(),
    }
}

/// A method as a handler; the shape says of which kind it is.
struct Typed<M, Req, Resp, Shape> {
    method: M,
    codecs: Codecs,
    types: PhantomData<fn(Req, Shape) -> Resp>,
}

struct UnaryShape;
struct ClientStreamingShape;
struct ServerStreamingShape;
struct BidirectionalStreamingShape;

impl<M, Req, Resp, Shape> Typed<M, Req, Resp, Shape> {
    fn new(method: M, codecs: &Codecs, _: Shape) -> Self {
        Self {
            method,
            codecs: codecs.clone(),
            types: PhantomData,
        }
    }
}

#[async_trait]
impl<M, Req, Resp> Handler for Typed<M, Req, Resp, UnaryShape>
where
    M: Unary<Req, Resp>,
    Req: Message,
    Resp: Message,
{
    async fn handle(&self, mut request: Request) -> Result<Response> {
        let message = first(&self.codecs, &mut request).await?;
        let mut context = Context::new(request);
        let answer = self.method.call(&mut context, message).await?;
        reply(&self.codecs, &answer, &mut context)
    }
}

#[async_trait]
impl<M, Req, Resp> Handler for Typed<M, Req, Resp, ClientStreamingShape>
where
    M: ClientStreaming<Req, Resp>,
    Req: Message,
    Resp: Message,
{
    async fn handle(&self, mut request: Request) -> Result<Response> {
        let requests = incoming(&self.codecs, &mut request);
        let mut context = Context::new(request);
        let answer = self.method.call(&mut context, requests).await?;
        reply(&self.codecs, &answer, &mut context)
    }
}

#[async_trait]
impl<M, Req, Resp> Handler for Typed<Arc<M>, Req, Resp, ServerStreamingShape>
where
    M: ServerStreaming<Req, Resp>,
    Req: Message,
    Resp: Message,
{
    async fn handle(&self, mut request: Request) -> Result<Response> {
        let message = first(&self.codecs, &mut request).await?;
        let (replies, sent) = outgoing(format(&self.codecs, &request, Role::Response));
        let method = self.method.clone();
        let mut context = Context::new(request);
        let work = async move { method.call(&mut context, message, replies).await };
        Ok(Response::new(Body::lots(Running::new(work, sent))))
    }
}

#[async_trait]
impl<M, Req, Resp> Handler for Typed<Arc<M>, Req, Resp, BidirectionalStreamingShape>
where
    M: BidirectionalStreaming<Req, Resp>,
    Req: Message,
    Resp: Message,
{
    async fn handle(&self, mut request: Request) -> Result<Response> {
        let requests = incoming(&self.codecs, &mut request);
        let (replies, sent) = outgoing(format(&self.codecs, &request, Role::Response));
        let method = self.method.clone();
        let mut context = Context::new(request);
        let work = async move { method.call(&mut context, requests, replies).await };
        Ok(Response::new(Body::lots(Running::new(work, sent))))
    }
}

/// Takes the first message out of a request and reads it.
async fn first<Req: Message>(codecs: &Codecs, request: &mut Request) -> Result<Req> {
    let body = request
        .take_body()
        .single()
        .await
        .map_err(|error| error.context(&request.endpoint))?;
    let mut message = Req::default();
    if let Some(raw) = Slot::raw(&mut message) {
        *raw = body;
        return Ok(message);
    }
    let codec = codecs.find(&request.content_type)?;
    // A format with an envelope has the caller's id inside the body; it is repeated in the answer.
    if let Some(opening) = codec.open(&body)? {
        request.id = opening.id;
    }
    match codec.decode(body, &mut message, Role::Request) {
        Ok(()) => Ok(message),
        Err(error) => Err(error.context(&request.endpoint)),
    }
}

fn reply<Resp: Message>(codecs: &Codecs, response: &Resp, context: &mut Context) -> Result<Response> {
    let request = context.request();
    let envelope = Envelope {
        role: Role::Response,
        endpoint: &request.endpoint,
        id: &request.id,
    };
    let body = codecs
        .encode(&request.content_type, response, &envelope)
        .map_err(|error| error.context(&request.endpoint))?;
    Ok(Response {
        content_type: Text::new(),
        metadata: context.take_reply_metadata(),
        body: body.into(),
    })
}

fn incoming<Req: Message>(codecs: &Codecs, request: &mut Request) -> Streaming<Req> {
    let body = request.take_body();
    Streaming::new(body, format(codecs, request, Role::Request))
}

fn format(codecs: &Codecs, request: &Request, role: Role) -> Format {
    let (content_type, endpoint) = (request.content_type.clone(), request.endpoint.clone());
    Format::new(codecs, content_type, endpoint, request.id.clone(), role)
}
