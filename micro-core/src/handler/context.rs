//! What a typed handler sees of a request besides its message.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Peer, Request, TraceContext};
use crate::Metadata;
use crate::debug::Traced;

/// The circumstances of a request: who calls what, until when, with which metadata.
///
/// A client that is told to work [`within`](crate::Client::within) a context inherits its deadline and metadata,
/// so that a chain of calls ends when its first caller stops waiting.
pub struct Context {
    request: Request,
    reply: Metadata,
    lent: Option<Lent>,
}

/// Where the reply's metadata meets again after a context was moved out.
enum Lent {
    /// Of the context that was moved out: it puts its metadata here when it is dropped.
    By(Arc<Mutex<Metadata>>),
    /// Of the context that stayed behind: it finds the metadata here.
    To(Arc<Mutex<Metadata>>),
}

impl Context {
    /// The circumstances of a request whose body was taken.
    pub(crate) fn new(request: Request) -> Self {
        Self {
            request,
            reply: Metadata::new(),
            lent: None,
        }
    }

    /// The name by which the service was called.
    pub fn service(&self) -> &str {
        &self.request.service
    }

    /// `Handler.Method`; of an event, its topic.
    pub fn endpoint(&self) -> &str {
        &self.request.endpoint
    }

    /// The format that the caller speaks.
    pub fn content_type(&self) -> &str {
        &self.request.content_type
    }

    /// What came with the request.
    pub fn metadata(&self) -> &Metadata {
        &self.request.metadata
    }

    /// What is to go with the answer of a call with one. Streamed answers carry no metadata.
    ///
    /// A function that owns its context must have dropped it when it answers, as it does unless it hands it on.
    pub fn reply_metadata(&mut self) -> &mut Metadata {
        &mut self.reply
    }

    /// The trace that the call belongs to, if it does: from its own span on where the call is recorded, from its
    /// caller's otherwise. What is sent on, such as an event, gets a [child](TraceContext::child) of it; calls
    /// [within](crate::Client::within) this context do by themselves.
    pub fn trace(&self) -> Option<TraceContext> {
        match self.request.extensions.get::<Traced>() {
            Some(traced) => Some(traced.context),
            None => TraceContext::of(self.metadata()),
        }
    }

    /// When the caller stops waiting.
    pub fn deadline(&self) -> Option<Instant> {
        self.request.deadline
    }

    /// The time left until the deadline: zero when it has passed, `None` without one.
    pub fn remaining(&self) -> Option<Duration> {
        self.request.remaining()
    }

    /// The addresses of the connection, where the transport has them.
    pub fn peer(&self) -> Option<Peer> {
        self.request.peer
    }

    /// The request, without its body: for its extensions, for instance.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Moves the context out, for handlers that own theirs; what stays behind knows the names and the id only.
    pub(crate) fn take(&mut self) -> Self {
        let mut rest = Request::new(
            self.request.service.clone(),
            self.request.endpoint.clone(),
            Bytes::new(),
        );
        rest.content_type = self.request.content_type.clone();
        rest.id = self.request.id.clone();
        let meeting = Arc::new(Mutex::new(Metadata::new()));
        self.lent = Some(Lent::To(meeting.clone()));
        Self {
            request: std::mem::replace(&mut self.request, rest),
            reply: std::mem::take(&mut self.reply),
            lent: Some(Lent::By(meeting)),
        }
    }

    pub(crate) fn take_reply_metadata(&mut self) -> Metadata {
        match &self.lent {
            Some(Lent::To(meeting)) => {
                std::mem::take(&mut *meeting.lock().unwrap_or_else(PoisonError::into_inner))
            }
            _ => std::mem::take(&mut self.reply),
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(Lent::By(meeting)) = &self.lent {
            let reply = std::mem::take(&mut self.reply);
            *meeting.lock().unwrap_or_else(PoisonError::into_inner) = reply;
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Context").field(&self.request).finish()
    }
}
