//! A call of many messages, in one direction or both.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use micro_core::handler::{Lot, Lots};
use micro_core::{Body, Request, Response, Result};
use tokio_util::task::AbortOnDropHandle;

use super::call::{Calling, ClientCall};
use super::links::Links;
use crate::flow::{Flow, Receiver};
use crate::frame::{error_text, kind};
use crate::send::{Sender, Sent};

/// Opens a stream. The response is there when the other side answered with its head.
pub(super) async fn open(links: &Arc<Links>, mut request: Request) -> Result<Response> {
    let message = request.body.as_single().cloned().unwrap_or_default();
    let mut calling = begin(links, &mut request, &message).await?;
    // From here on its messages are on their way, once: if they are not taken, the error says so.
    let writer = request
        .body
        .is_stream()
        .then(|| write(&calling, request.take_body()));
    let answered = poll_fn(|context| calling.poll_answer(&message, context)).await;
    let answer = answered.map_err(|failure| failure.into_error(links, &calling.place))?;
    let body = match (answer.message, calling.flow.clone()) {
        (None, Some(flow)) => {
            let receiver = Receiver::new(calling.place.hub().clone(), flow, calling.call);
            Body::lots(Answers(Some(Open {
                receiver,
                calling,
                _writer: writer,
            })))
        }
        (message, _) => {
            calling.finish();
            message.unwrap_or_default().into()
        }
    };
    Ok(Response {
        content_type: answer.content_type,
        metadata: answer.metadata,
        body,
    })
}

/// Begins the call on a connection that takes it. The request is borrowed alone, because its body cannot be shared by
/// threads.
async fn begin(links: &Arc<Links>, request: &mut Request, message: &Bytes) -> Result<Calling> {
    const ATTEMPTS: usize = 4;
    let mut attempts = 0;
    loop {
        let place = links.place().await?;
        let flow = Flow::new(&place.hub().own, &place.hub().peer);
        let mut calling = Calling::new(place, Some(flow));
        match poll_fn(|context| calling.poll_begin(request, message, context)).await {
            Ok(()) => return Ok(calling),
            Err(failure) => {
                attempts += 1;
                let is_last = attempts == ATTEMPTS || matches!(failure, super::call::Failure::Failed(_));
                let error = failure.into_error(links, &calling.place);
                if is_last {
                    return Err(error);
                }
            }
        }
    }
}

/// Sends the messages of a body and their end: in a task of its own, because a caller may send for long before it reads.
/// Dropped, it sends no more.
fn write(calling: &Calling, mut body: Body) -> AbortOnDropHandle<()> {
    let (hub, call) = (calling.place.hub().clone(), calling.call);
    let flow = calling.flow.clone();
    let writer = async move {
        let Some(flow) = flow else { return };
        let mut sender = Sender::<ClientCall>::new(hub.clone(), flow, call);
        let sent = poll_fn(|context| sender.poll_send(&mut body, context)).await;
        // What the body holds ends before the other side learns of the end.
        drop(body);
        hub.with(|state, _| {
            if state.closed.is_some() || !state.calls.contains_key(&call) {
                return;
            }
            match sent {
                Sent::Whole => state.outbox.plain(call, kind::END, 0, &[]),
                Sent::Failed(error) => {
                    state
                        .outbox
                        .plain(call, kind::ERROR, 0, error_text(&error).as_bytes());
                }
                Sent::Gone => {}
            }
        });
    };
    AbortOnDropHandle::new(tokio::spawn(writer))
}

/// The messages of an answer. `None` after the end.
struct Answers(Option<Open>);

/// A call that goes on. Dropped, it is given up.
struct Open {
    receiver: Receiver<ClientCall>,
    calling: Calling,
    _writer: Option<AbortOnDropHandle<()>>,
}

impl Lots for Answers {
    fn poll_lot(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Lot>>> {
        let Some(open) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let next = ready!(Pin::new(&mut open.receiver).poll_lot(context));
        if !matches!(next, Some(Ok(_))) {
            // With it goes what the caller may still be sending: the call is over.
            open.calling.finish();
            self.0 = None;
        }
        Poll::Ready(next)
    }
}
