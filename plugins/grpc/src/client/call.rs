//! A call of one message for one.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::HeaderMap;
use micro_core::{Error, Request, Response, Result};

use super::link::{Begun, Link, Place};
use super::stream::write;
use super::terms::Terms;
use super::{CLIENT, PeerShared};
use crate::framing::is_gzip;
use crate::metadata::{self, GRPC_ENCODING};
use crate::receive::{Broken, Incoming};
use crate::{content_type, status};

/// How many connections that took no more calls are left behind for one call.
const ATTEMPTS: usize = 4;

/// How a call failed.
pub(super) enum Failure {
    /// The other side surely did not begin with it, because it goes away or has too much to do.
    NotTaken(String),
    Failed(Error),
}

/// What came back of a call: what was said of it, and the messages.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    /// The head said already that the call went well: there are no messages, and nothing follows.
    pub(super) is_all: bool,
    pub(super) incoming: Incoming,
}

pub(super) async fn exchange(peer: &PeerShared, request: &mut Request) -> Result<Response> {
    let message = request.body.as_single().cloned().unwrap_or_default();
    let terms = Terms::of(request);
    let mut attempts = 0;
    loop {
        let (place, begun) = begin(peer, request).await?;
        match run(peer, place.link(), begun, message.clone(), &terms).await {
            Ok(response) => return Ok(response),
            Err(failure) => {
                attempts += 1;
                let is_last = attempts == ATTEMPTS || matches!(failure, Failure::Failed(_));
                let error = failure.into_error(peer, &place);
                if is_last {
                    return Err(error);
                }
            }
        }
    }
}

/// Sends the head of a call, on a connection that takes it. The request is left as it is: it is borrowed alone, because
/// its body cannot be shared by threads.
pub(super) async fn begin(peer: &PeerShared, request: &mut Request) -> Result<(Place, Begun)> {
    let mut attempts = 0;
    loop {
        let place = peer.links.place().await?;
        let compression = place.link().compression();
        let head = peer.heads.head(request, peer.config.compression, compression)?;
        match place.begin(head, compression) {
            Ok(begun) => return Ok((place, begun)),
            Err(problem) => {
                attempts += 1;
                let error = Failure::NotTaken(problem.to_string()).into_error(peer, &place);
                if attempts == ATTEMPTS {
                    return Err(error);
                }
            }
        }
    }
}

async fn run(
    peer: &PeerShared,
    link: &Link,
    begun: Begun,
    message: Bytes,
    terms: &Terms,
) -> Result<Response, Failure> {
    // Kept until the end: the other side may begin to answer before it has the whole message.
    let _writer = write(begun.stream, begun.compression, message.into()).map_err(Failure::Failed)?;
    let response = begun
        .response
        .await
        .map_err(|problem| peer.failure(link, &problem, terms))?;
    let Answer {
        headers,
        is_all,
        mut incoming,
    } = peer.answer(link, response, terms).map_err(Failure::Failed)?;
    let message = match incoming.message().await {
        Some(Ok(message)) => message,
        Some(Err(Broken::Bad(error))) => return Err(Failure::Failed(error.context(&peer.address))),
        Some(Err(Broken::Ended(problem))) => return Err(peer.failure(link, &problem, terms)),
        None => {
            let trailers = incoming
                .trailers()
                .await
                .map_err(|problem| peer.failure(link, &problem, terms))?;
            if !is_all {
                peer.status(trailers.as_ref(), terms).map_err(Failure::Failed)?;
            }
            return Err(Failure::Failed(
                peer.malformed("the call went well, but without a message"),
            ));
        }
    };
    let trailers = end(peer, link, &mut incoming, terms).await?;
    peer.status(trailers.as_ref(), terms).map_err(Failure::Failed)?;
    let mut metadata = metadata::read(&headers);
    if let Some(trailers) = trailers.filter(|trailers| trailers.len() > 1) {
        metadata::read_trailers(&trailers, &mut metadata);
    }
    Ok(Response {
        content_type: content_type::read(&headers)
            .map_or_else(Default::default, |format| format.content_type),
        metadata,
        body: message.into(),
    })
}

/// Waits for what follows the one message.
async fn end(
    peer: &PeerShared,
    link: &Link,
    incoming: &mut Incoming,
    terms: &Terms,
) -> Result<Option<HeaderMap>, Failure> {
    let at_once = match incoming.is_drained() {
        true => poll_fn(|context| Poll::Ready(incoming.poll_trailers(context))).await,
        false => Poll::Pending,
    };
    if let Poll::Ready(trailers) = at_once {
        return trailers.map_err(|problem| peer.failure(link, &problem, terms));
    }
    match incoming.message().await {
        None => {}
        Some(Ok(_)) => {
            let error = Error::bad_request(
                CLIENT,
                format!("{} answers with a stream; call the endpoint as one", peer.address),
            );
            return Err(Failure::Failed(error));
        }
        Some(Err(Broken::Bad(error))) => return Err(Failure::Failed(error.context(&peer.address))),
        Some(Err(Broken::Ended(problem))) => return Err(peer.failure(link, &problem, terms)),
    }
    incoming
        .trailers()
        .await
        .map_err(|problem| peer.failure(link, &problem, terms))
}

impl PeerShared {
    /// What the head of an answer says. An error where it is the whole answer.
    pub(super) fn answer(
        &self,
        link: &Link,
        response: http::Response<RecvStream>,
        terms: &Terms,
    ) -> Result<Answer> {
        let (head, body) = response.into_parts();
        link.note(&head.headers);
        let status = status::read(&head.headers);
        if status.is_some() {
            terms.note(Some(&head.headers));
        }
        let is_all = status.transpose()?.is_some();
        if !head.status.is_success() {
            return Err(Error::new(
                "go.micro.client.transport",
                i32::from(head.status.as_u16()),
                format!("{} answered HTTP status {}", self.address, head.status),
            ));
        }
        if content_type::read(&head.headers).is_none() {
            let said = head.headers.get(http::header::CONTENT_TYPE);
            return Err(self.malformed(&format!("its content type is {said:?}, none of gRPC")));
        }
        let is_gzip =
            is_gzip(head.headers.get(GRPC_ENCODING)).map_err(|error| error.context(&self.address))?;
        Ok(Answer {
            incoming: Incoming::new(body, self.config.limits.message_size, is_gzip),
            headers: head.headers,
            is_all,
        })
    }

    /// How a call ended, by its trailers.
    pub(super) fn status(&self, trailers: Option<&HeaderMap>, terms: &Terms) -> Result<()> {
        terms.note(trailers);
        match trailers.and_then(status::read) {
            Some(status) => status,
            None => Err(self.malformed("the answer ended without a grpc-status")),
        }
    }

    /// What the end of a connection, or of the call on it, means for the call.
    pub(super) fn failure(&self, link: &Link, problem: &h2::Error, terms: &Terms) -> Failure {
        // A call that is above the last one of a farewell, or was refused, was not looked at.
        let is_refused = problem.is_reset() && problem.reason() == Some(Reason::REFUSED_STREAM);
        if problem.is_remote() && (problem.is_go_away() || is_refused) {
            return Failure::NotTaken(problem.to_string());
        }
        if terms.is_out_of_time(problem) {
            let error = Error::timeout(
                CLIENT,
                format!("call timeout: {} gave up the call at its deadline", self.address),
            );
            return Failure::Failed(error.unanswered());
        }
        if link.is_refused() {
            return Failure::Failed(
                self.links
                    .unreachable("it refused this side's certificate; see Tls::identity"),
            );
        }
        if problem.is_library() {
            return Failure::Failed(self.malformed(&problem.to_string()));
        }
        let problem = match problem.is_reset() {
            true => format!("it reset the call: {problem}"),
            false => problem.to_string(),
        };
        Failure::Failed(
            Error::unavailable(
                CLIENT,
                format!(
                    "connection error: {} did not answer: {problem}; whether the call was handled is unknown",
                    self.address
                ),
            )
            .unanswered(),
        )
    }

    pub(super) fn malformed(&self, problem: &str) -> Error {
        Error::new(
            "go.micro.client.transport",
            502,
            format!(
                "{} does not speak gRPC as it is spoken here: {problem}",
                self.address
            ),
        )
        .unanswered()
    }
}

impl Failure {
    /// The error of a call that is not tried again here.
    pub(super) fn into_error(self, peer: &PeerShared, place: &Place) -> Error {
        match self {
            Self::Failed(error) => error,
            Self::NotTaken(problem) => {
                peer.links.remove(&Arc::downgrade(place.link()));
                peer.links.unreachable(&format!("it took no call: {problem}"))
            }
        }
    }
}
