//! The heads of requests.

use std::sync::{Mutex, PoisonError};

use http::header::TE;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use micro_core::handler::CallKind;
use micro_core::{Error, Request, Result, Text};
use tokio::time::Instant;

use super::CLIENT;
use crate::config::Compression;
use crate::content_type::Format;
use crate::framing::{ACCEPTED, GZIP, IDENTITY};
use crate::metadata::{self, GRPC_ACCEPT_ENCODING, GRPC_ENCODING, GRPC_TIMEOUT};
use crate::{path, timeout};

/// How many endpoints a peer remembers the targets of.
const REMEMBERED: usize = 64;

const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");

/// Makes the heads of a peer's requests.
pub(super) struct Heads {
    scheme: Scheme,
    authority: Authority,
    targets: Mutex<Vec<Target>>,
}

struct Target {
    service: Text,
    endpoint: Text,
    uri: Uri,
}

impl Heads {
    /// `None` where the authority cannot be one.
    pub(super) fn new(authority: &str, is_encrypted: bool) -> Option<Self> {
        Some(Self {
            scheme: match is_encrypted {
                true => Scheme::HTTPS,
                false => Scheme::HTTP,
            },
            authority: Authority::try_from(authority)
                .ok()
                .filter(|authority| !authority.as_str().contains('@'))?,
            targets: Mutex::default(),
        })
    }

    /// The head of a request. Where compression is wanted, it says whether there is any: that asks the other side to say
    /// what it reads.
    pub(super) fn head(
        &self,
        request: &Request,
        wanted: Compression,
        compression: Compression,
    ) -> Result<http::Request<()>> {
        let mut headers = HeaderMap::with_capacity(8);
        if !Format::of(&request.content_type).write(&mut headers) {
            return Err(Error::bad_request(
                CLIENT,
                format!(
                    "{} {}: the content type {:?} cannot travel over gRPC",
                    request.service, request.endpoint, request.content_type
                ),
            )
            .never_started());
        }
        headers.insert(TE, TRAILERS);
        if request.kind == CallKind::Unary && !request.body.is_stream() {
            metadata::write_unary(&mut headers);
        }
        headers.insert(GRPC_ACCEPT_ENCODING, ACCEPTED);
        match (wanted.is_on(), compression.is_on()) {
            (_, true) => drop(headers.insert(GRPC_ENCODING, GZIP)),
            (true, false) => drop(headers.insert(GRPC_ENCODING, IDENTITY)),
            (false, false) => {}
        }
        if let Some(deadline) = request.deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            headers.insert(GRPC_TIMEOUT, timeout::write(left));
        }
        metadata::write(&request.metadata, &mut headers)
            .map_err(|error| error.context(&request.endpoint).never_started())?;
        let mut head = http::Request::new(());
        *head.method_mut() = Method::POST;
        *head.version_mut() = Version::HTTP_2;
        *head.uri_mut() = self.target(request)?;
        *head.headers_mut() = headers;
        Ok(head)
    }

    fn target(&self, request: &Request) -> Result<Uri> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let known = targets
            .iter()
            .find(|target| target.endpoint == request.endpoint && target.service == request.service);
        if let Some(target) = known {
            return Ok(target.uri.clone());
        }
        let uri = self.uri(path::write(&request.service, &request.endpoint)?)?;
        if targets.len() < REMEMBERED {
            targets.push(Target {
                service: request.service.clone(),
                endpoint: request.endpoint.clone(),
                uri: uri.clone(),
            });
        }
        Ok(uri)
    }

    fn uri(&self, path: PathAndQuery) -> Result<Uri> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).map_err(|problem| {
            Error::bad_request(CLIENT, format!("no target of a call: {problem}")).never_started()
        })
    }
}
