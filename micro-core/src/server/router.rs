//! From an endpoint's name to what answers it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codec::{Codecs, JSON, JSON_RPC, OCTET_STREAM, PROTO_RPC, PROTOBUF};
use crate::error::SERVER;
use crate::handler::BoxFuture;
use crate::wire::TOPIC;
use crate::{Error, Handler, Request, Response, Result, Text};

/// Hands each request to the handler of its endpoint.
pub struct Router {
    /// Sorted: a service has so few endpoints that a few comparisons are quicker than a hash.
    handlers: BTreeMap<Text, Arc<dyn Handler>>,
    /// What handles events, by topic. Several may listen to one.
    subscribers: BTreeMap<Text, Vec<Arc<dyn Handler>>>,
    codecs: Codecs,
}

impl Router {
    /// A router for these endpoints.
    pub fn new(handlers: impl IntoIterator<Item = (Text, Arc<dyn Handler>)>, codecs: Codecs) -> Self {
        Self {
            handlers: handlers.into_iter().collect(),
            subscribers: BTreeMap::new(),
            codecs,
        }
    }

    /// This router, which also hands events that come as requests to those who are subscribed to their topic.
    #[must_use]
    pub fn with_subscribers(
        mut self,
        subscribers: impl IntoIterator<Item = (Text, Arc<dyn Handler>)>,
    ) -> Self {
        for (topic, handler) in subscribers {
            self.subscribers.entry(topic).or_default().push(handler);
        }
        self
    }

    /// An event that came as a request: all who are subscribed get it, and the first error is answered.
    async fn event(&self, mut request: Request) -> Result<Response> {
        let topic = Text::from(request.metadata.get(TOPIC).unwrap_or_default());
        let Some(subscribers) = self.subscribers.get(&topic) else {
            // Nobody here listens to the topic, which is no failure of the publisher's.
            return Ok(Response::default());
        };
        request.endpoint = topic;
        request.body = request.take_body().single().await?.into();
        let events = subscribers.iter().filter_map(|handler| {
            let event = request.try_clone()?;
            Some(handler.handle(event))
        });
        let outcomes = futures_util::future::join_all(events).await;
        let outcomes: Result<Vec<Response>> = outcomes.into_iter().collect();
        outcomes.map(|_| Response::default())
    }

    /// A request that names no endpoint: an event, or a call of the old protocol, whose body names it.
    async fn unnamed(&self, mut request: Request) -> Result<Response> {
        if request.metadata.contains(TOPIC) {
            return self.event(request).await;
        }
        let codec = match &request.content_type {
            json if *json == JSON || *json == JSON_RPC => JSON_RPC,
            bytes if *bytes == PROTOBUF || *bytes == OCTET_STREAM || *bytes == PROTO_RPC => PROTO_RPC,
            other => return Err(self.codecs.find(other).err().unwrap_or_else(nameless)),
        };
        let body = request.take_body().single().await?;
        let opening = self
            .codecs
            .find(&codec)?
            .open(&body)
            .ok()
            .flatten()
            .filter(|opening| !opening.endpoint.is_empty());
        let opening = opening.ok_or_else(nameless)?;
        let handler = self
            .handlers
            .get(&opening.endpoint)
            .ok_or_else(|| self.unknown(&opening.endpoint))?;
        let content_type = std::mem::replace(&mut request.content_type, codec);
        request.endpoint = opening.endpoint;
        request.id = opening.id;
        request.body = body.into();
        let mut response = handler.handle(request).await?;
        response.content_type = content_type;
        Ok(response)
    }

    /// Begins with Go Micro's words, which its users know, and goes on with what to do.
    fn unknown(&self, endpoint: &str) -> Error {
        let Some((service, method)) = endpoint
            .split_once('.')
            .filter(|(_, method)| !method.contains('.'))
        else {
            return Error::bad_request(
                SERVER,
                format!(
                    "rpc: service/endpoint request ill-formed: {endpoint}; an endpoint is Handler.Method"
                ),
            );
        };
        let methods: Vec<&str> = self
            .handlers
            .keys()
            .filter_map(|name| name.split_once('.'))
            .filter_map(|(handler, method)| (handler == service).then_some(method))
            .collect();
        if methods.is_empty() {
            let mut services: Vec<&str> = self
                .handlers
                .keys()
                .filter_map(|name| name.split('.').next())
                .collect();
            services.dedup();
            return Error::not_found(
                SERVER,
                format!(
                    "rpc: can't find service {service}; known here: {}",
                    services.join(", ")
                ),
            );
        }
        Error::not_found(
            SERVER,
            format!(
                "rpc: can't find method {method}; {service} has {}",
                methods.join(", ")
            ),
        )
    }
}

fn nameless() -> Error {
    Error::bad_request(
        SERVER,
        "the request names no endpoint; set the header Micro-Endpoint to Handler.Method",
    )
}

impl Handler for Router {
    // Written out, so that the endpoint's future is returned as it is, without a box around it.
    fn handle<'a, 'b>(&'a self, mut request: Request) -> BoxFuture<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        if request.content_type.is_empty() {
            request.content_type = PROTOBUF;
        }
        // As in Go Micro, a topic makes it an event, whatever endpoint is named besides.
        if !self.subscribers.is_empty() && request.metadata.contains(TOPIC) {
            return Box::pin(self.event(request));
        }
        match self.handlers.get(&*request.endpoint) {
            Some(handler) => handler.handle(request),
            None if request.endpoint.is_empty() => Box::pin(self.unnamed(request)),
            None => {
                let error = self.unknown(&request.endpoint);
                Box::pin(async move { Err(error) })
            }
        }
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.handlers.keys()).finish()
    }
}
