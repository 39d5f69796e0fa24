//! What the cases in Rust call with.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream;
use micro::client::CallOptions;
use micro::handler::wrapper_fn;
use micro::registry::MemoryRegistry;
use micro::{Body, Client, Handler, Metadata, Request, Transport};
use micro_grpc::Trailers;
use tokio::sync::Notify;

use super::PACKAGE;
use super::testing::TestServiceClient;

/// A caller of one server, and what it noticed.
pub struct Caller {
    client: Client,
    address: String,
    seen: Arc<Seen>,
}

/// What is noticed of the calls.
#[derive(Default)]
pub(super) struct Seen {
    /// The metadata that came before the messages of the last answer.
    initial: Mutex<Metadata>,
    /// What came after them.
    pub(super) trailers: Trailers,
    /// Told when the head of a call has left and its messages are asked for.
    pub(super) began: Notify,
}

impl Caller {
    /// One that calls this address.
    pub fn new(transport: Arc<dyn Transport>, address: &str) -> Self {
        let seen = Arc::new(Seen::default());
        let watching = seen.clone();
        let watch = wrapper_fn(move |request, next| watch(watching.clone(), request, next));
        let client = Client::builder(Arc::new(MemoryRegistry::new()), transport)
            .wrap_attempt(watch)
            .build();
        Self {
            client,
            address: address.to_owned(),
            seen,
        }
    }

    /// The client, for what the service has not.
    pub(super) fn client(&self) -> Client {
        self.with_options(CallOptions::default())
    }

    pub(super) fn service(&self) -> TestServiceClient {
        TestServiceClient::new(PACKAGE, &self.client())
    }

    /// The service, called with metadata.
    pub(super) fn with_metadata(&self, metadata: Metadata) -> TestServiceClient {
        let options = CallOptions {
            metadata,
            ..CallOptions::default()
        };
        TestServiceClient::new(PACKAGE, &self.with_options(options))
    }

    /// The service, called for so long at most.
    pub(super) fn within(&self, timeout: Duration) -> TestServiceClient {
        let options = CallOptions {
            timeout: Some(timeout),
            ..CallOptions::default()
        };
        TestServiceClient::new(PACKAGE, &self.with_options(options))
    }

    fn with_options(&self, options: CallOptions) -> Client {
        self.client.with_options(CallOptions {
            addresses: vec![self.address.clone()],
            ..options
        })
    }

    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }
}

impl Seen {
    pub(super) fn initial(&self) -> Metadata {
        self.initial
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Forgets the metadata.
    pub(super) fn forget(&self) {
        *self.initial.lock().unwrap_or_else(PoisonError::into_inner) = Metadata::new();
    }
}

/// Stands around each attempt.
async fn watch(
    seen: Arc<Seen>,
    mut request: Request,
    next: Arc<dyn Handler>,
) -> micro::Result<micro::Response> {
    request.extensions.insert(seen.trailers.clone());
    if request.body.is_stream() {
        let mut body = request.take_body();
        let watching = seen.clone();
        request.body = Body::stream(stream::poll_fn(move |context| {
            watching.began.notify_one();
            body.poll_message(context)
        }));
    }
    let response = next.handle(request).await?;
    *seen.initial.lock().unwrap_or_else(PoisonError::into_inner) = response.metadata.clone();
    Ok(response)
}
