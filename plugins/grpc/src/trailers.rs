//! Metadata that come after the messages of an answer.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use micro_core::{Metadata, Request};

use crate::metadata;

/// Receives the metadata at the end of an answer: also of a stream, and of a call that failed.
///
/// A caller puts a clone into the extensions of its request. Each attempt of the call empties it when it begins, and fills
/// it when its answer was read to the end. Handlers write such metadata under names that begin with `grpc-trailer-`, and
/// the caller of one message finds them under these names in the response too.
///
/// ```
/// use micro_core::Request;
/// use micro_grpc::Trailers;
///
/// let trailers = Trailers::new();
/// let mut request = Request::new("greeter", "Greeter.Hello", "hello");
/// request.extensions.insert(trailers.clone());
/// // … after the call, and all of its answer:
/// assert_eq!(trailers.get().get("checksum"), None);
/// ```
#[derive(Clone, Default)]
pub struct Trailers(Arc<Mutex<Metadata>>);

impl Trailers {
    /// One that is empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// What came, by its names on the wire. Empty before the end of the answer.
    pub fn get(&self) -> Metadata {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The one of a request that begins, emptied, if its caller wants to know.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let trailers = request.extensions.get::<Self>()?.clone();
        trailers.fill(None);
        Some(trailers)
    }

    pub(crate) fn fill(&self, trailers: Option<&HeaderMap>) {
        let metadata = trailers.map(metadata::read).unwrap_or_default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = metadata;
    }
}

impl fmt::Debug for Trailers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Trailers").field(&self.get()).finish()
    }
}
