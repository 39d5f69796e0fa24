//! What a caller asks.

use std::fmt;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use http::Extensions;
use tokio::time::Instant;

use super::Body;
use crate::codec::PROTOBUF;
use crate::error::CLIENT;
use crate::{Error, Metadata, Result, Text};

/// A request: where it goes, what it carries.
///
/// Moves as one pointer, however much is in it; its parts are read and changed in place.
pub struct Request(Box<RequestParts>);

/// The parts of a [`Request`].
#[derive(Debug)]
pub struct RequestParts {
    /// The name of the service that is called.
    pub service: Text,
    /// What is called of it: `Handler.Method`.
    pub endpoint: Text,
    /// The format of the body; empty when the caller did not say.
    pub content_type: Text,
    /// What else travels. Service, endpoint, content type and deadline are fields and never in here.
    pub metadata: Metadata,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// Whether one message is exchanged for one, or streams.
    pub kind: CallKind,
    /// Whether the far handler may safely run more than once for it, so that a failed attempt may be repeated.
    pub idempotent: bool,
    /// The caller's id for the request, where its protocol has one; repeated in the answer.
    pub id: Text,
    /// Who asks: set by the server's transport.
    pub peer: Option<Peer>,
    /// What wrappers and callers hand on inside this process, by type. Does not travel.
    pub extensions: Extensions,
    /// The message or messages.
    pub body: Body,
}

/// Whether a call exchanges one message for one.
///
/// The variant of the body cannot say it: in server streaming one message goes out and many come back.
///
/// A handler whose callers send one message of a streaming call must read that first message and not wait for the
/// end after it: Go Micro's wire has no word for "that was my last message", so that over HTTP such a request
/// goes on until the call itself ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// One message each way.
    #[default]
    Unary,
    /// Many messages in at least one direction.
    Stream,
}

/// The two ends of the connection that a request came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The caller's address.
    pub remote: SocketAddr,
    /// The address it called.
    pub local: SocketAddr,
}

impl Request {
    /// A unary request in protobuf without metadata and deadline.
    pub fn new(service: impl Into<Text>, endpoint: impl Into<Text>, body: impl Into<Body>) -> Self {
        Self(Box::new(RequestParts {
            service: service.into(),
            endpoint: endpoint.into(),
            content_type: PROTOBUF,
            metadata: Metadata::new(),
            deadline: None,
            kind: CallKind::Unary,
            idempotent: false,
            id: Text::new(),
            peer: None,
            extensions: Extensions::new(),
            body: body.into(),
        }))
    }

    /// Puts parts together.
    pub fn from_parts(parts: RequestParts) -> Self {
        Self(Box::new(parts))
    }

    /// Takes the request apart.
    pub fn into_parts(self) -> RequestParts {
        *self.0
    }

    /// The time left until the deadline: zero when it has passed, `None` without one.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Takes the body out and leaves an empty one.
    pub fn take_body(&mut self) -> Body {
        std::mem::take(&mut self.0.body)
    }

    /// A copy; `None` when the body is a stream, of which there is only one.
    pub fn try_clone(&self) -> Option<Self> {
        let body = self.body.as_single()?.clone();
        let mut copy = self.copy_without_body();
        copy.body = body.into();
        Some(copy)
    }

    /// A copy, or the error of a request of which there is only one.
    pub(crate) fn copy(&self) -> Result<Self> {
        self.try_clone().ok_or_else(|| {
            let detail = format!(
                "{} {}: a request whose body is a stream can be sent once only",
                self.service, self.endpoint
            );
            Error::bad_request(CLIENT, detail).never_started()
        })
    }

    pub(crate) fn copy_without_body(&self) -> Self {
        Self(Box::new(RequestParts {
            service: self.service.clone(),
            endpoint: self.endpoint.clone(),
            content_type: self.content_type.clone(),
            metadata: self.metadata.clone(),
            deadline: self.deadline,
            kind: self.kind,
            idempotent: self.idempotent,
            id: self.id.clone(),
            peer: self.peer,
            extensions: self.extensions.clone(),
            body: Body::empty(),
        }))
    }
}

impl Deref for Request {
    type Target = RequestParts;

    fn deref(&self) -> &RequestParts {
        &self.0
    }
}

impl DerefMut for Request {
    fn deref_mut(&mut self) -> &mut RequestParts {
        &mut self.0
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Request")
            .field("service", &self.service)
            .field("endpoint", &self.endpoint)
            .field("content_type", &self.content_type)
            .field("kind", &self.kind)
            .field("metadata", &self.metadata)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_moves_as_one_pointer() {
        assert_eq!(size_of::<Request>(), size_of::<usize>());
    }
}
