//! A call of many messages, in one direction or both.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use micro_core::handler::{Lot, Lots};
use micro_core::{Body, Error, Request, Response, Result};
use tokio_util::task::AbortOnDropHandle;

use super::PeerShared;
use super::call::{Answer, begin};
use super::link::Place;
use super::terms::Terms;
use crate::config::Compression;
use crate::receive::{Broken, Incoming};
use crate::send::{AT_ONCE, End, Outgoing, send_whole};
use crate::{content_type, metadata};

/// Opens a stream. The response is there when the other side answered with its head.
pub(super) async fn open(peer: &Arc<PeerShared>, mut request: Request) -> Result<Response> {
    let terms = Terms::of(&request);
    let (place, begun) = begin(peer, &mut request).await?;
    // From here on its messages are on their way, once: if they are not taken, the error says so.
    let writer = write(begun.stream, begun.compression, request.take_body())?;
    let failed = |problem: &h2::Error| {
        peer.failure(place.link(), problem, &terms)
            .into_error(peer, &place)
    };
    let response = begun
        .response
        .await
        .map_err(|problem| writer.failure().unwrap_or_else(|| failed(&problem)))?;
    let Answer {
        headers,
        is_all,
        incoming,
    } = peer.answer(place.link(), response, &terms)?;
    let content_type =
        content_type::read(&headers).map_or_else(Default::default, |format| format.content_type);
    let answers = Answers(Some(Open {
        peer: peer.clone(),
        incoming,
        is_all,
        is_at_end: false,
        terms,
        writer,
        place,
    }));
    Ok(Response {
        content_type,
        metadata: metadata::read(&headers),
        body: Body::lots(answers),
    })
}

/// What sends the caller's messages, unless they are sent: a task of its own, because a caller may send for long before
/// it reads. Dropped, it sends no more.
pub(super) struct Writer(Option<Writing>);

struct Writing {
    _task: AbortOnDropHandle<()>,
    failure: Arc<Mutex<Option<Error>>>,
}

impl Writer {
    /// The error that ended the caller's messages. gRPC has no word for it: the call was given up.
    fn failure(&self) -> Option<Error> {
        let writing = self.0.as_ref()?;
        let mut failure = writing.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take()
    }
}

/// Sends the messages of a body and their end: at once where that is one small message.
pub(super) fn write(mut stream: SendStream<Bytes>, compression: Compression, body: Body) -> Result<Writer> {
    let body = match body.try_into_single() {
        Ok(message) if message.len() <= AT_ONCE => {
            let (message, is_compressed) = compression.compress(message);
            send_whole(&mut stream, message, is_compressed, true)?;
            return Ok(Writer(None));
        }
        Ok(message) => message.into(),
        Err(body) => body,
    };
    let failure = Arc::new(Mutex::new(None));
    let failed = failure.clone();
    let writer = async move {
        let mut outgoing = Outgoing::new(stream, compression);
        let end = outgoing.send(body).await;
        let mut stream = outgoing.into_stream();
        match end {
            End::Whole => drop(stream.send_data(Bytes::new(), true)),
            End::Failed(error) => {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                stream.send_reset(Reason::CANCEL);
            }
            End::Gone => {}
        }
    };
    Ok(Writer(Some(Writing {
        _task: AbortOnDropHandle::new(tokio::spawn(writer)),
        failure,
    })))
}

/// The messages of an answer. `None` after the end.
struct Answers(Option<Open>);

/// A call that goes on. Dropped, it is given up.
struct Open {
    peer: Arc<PeerShared>,
    incoming: Incoming,
    /// The head said already how the call went.
    is_all: bool,
    /// The last message came, and the status is awaited.
    is_at_end: bool,
    terms: Terms,
    writer: Writer,
    place: Place,
}

impl Lots for Answers {
    fn poll_lot(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Lot>>> {
        let Some(open) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let next = ready!(open.poll_lot(context));
        if !matches!(next, Some(Ok(_))) {
            // With it goes what the caller may still be sending: the call is over.
            self.0 = None;
        }
        Poll::Ready(next)
    }
}

impl Open {
    fn poll_lot(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Lot>>> {
        if !self.is_at_end {
            match ready!(self.incoming.poll_lot(context)) {
                Some(Ok(lot)) => return Poll::Ready(Some(Ok(lot))),
                Some(Err(Broken::Bad(error))) => {
                    return Poll::Ready(Some(Err(error.context(&self.peer.address))));
                }
                Some(Err(Broken::Ended(problem))) => return Poll::Ready(Some(Err(self.cut(&problem)))),
                None => self.is_at_end = true,
            }
        }
        let status = match ready!(self.incoming.poll_trailers(context)) {
            Ok(_) if self.is_all => Ok(()),
            Ok(trailers) => self.peer.status(trailers.as_ref(), &self.terms),
            Err(problem) => Err(self.cut(&problem)),
        };
        Poll::Ready(status.err().map(Err))
    }

    fn cut(&self, problem: &h2::Error) -> Error {
        self.writer.failure().unwrap_or_else(|| {
            self.peer
                .failure(self.place.link(), problem, &self.terms)
                .into_error(&self.peer, &self.place)
        })
    }
}
