//! One call of a connection: from its request to its answer.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use micro_core::{Body, Error, Metadata, Request, Response, Text};

use super::Server;
use super::connection::ServerHub;
use crate::flow::{Flow, too_large};
use crate::frame::{Cancel, error_text, kind};
use crate::head;
use crate::outbox::{HIGH_WATER, PART_WATER};
use crate::send::{Sender, Sent};

/// The id of errors that are made here.
const SERVER: &str = "go.micro.server";
/// The largest part of a message where there are other calls, in bytes.
const PART: usize = 32 * 1024;

/// Serves one call. Dropped, or with a handler that panics, it tells the caller that there is no answer.
pub(super) async fn serve(server: Arc<Server>, hub: ServerHub, call: u32, request: Request) {
    let mut serving = Serving {
        hub,
        call,
        content_type: request.content_type.clone(),
        is_over: false,
    };
    let mut handling = server.handler.handle(request);
    let result = poll_fn(|context| {
        if let Poll::Ready(result) = handling.as_mut().poll(context) {
            return Poll::Ready(Some(result));
        }
        serving.poll_gone(context).map(|()| None)
    })
    .await;
    drop(handling);
    match result {
        None => serving.is_over = true,
        Some(Ok(response)) => serving.answer(response).await,
        Some(Err(error)) => serving.fail(&error).await,
    }
}

/// A call that is being served.
struct Serving {
    hub: ServerHub,
    call: u32,
    /// The format of the request, and of its answer where that says nothing else.
    content_type: Text,
    is_over: bool,
}

impl Serving {
    /// Ready when nobody waits for the answer any more.
    fn poll_gone(&self, context: &Context<'_>) -> Poll<()> {
        self.hub.with(|state, _| {
            let Some(call) = state.calls.get_mut(&self.call) else {
                return Poll::Ready(());
            };
            match &mut call.waker {
                Some(waker) if waker.will_wake(context.waker()) => {}
                waker => *waker = Some(context.waker().clone()),
            }
            Poll::Pending
        })
    }

    /// Waits until less than the high water waits to be written, or nobody waits for the answer. The call counts until
    /// then: so a caller who reads nothing has no more begun than it may have.
    async fn room(&self) {
        poll_fn(|context| {
            let polled = self
                .hub
                .with(|state, _| match state.calls.contains_key(&self.call) {
                    true => state.outbox.poll_room(HIGH_WATER, context),
                    false => Poll::Ready(()),
                });
            if polled.is_pending() {
                return self.poll_gone(context);
            }
            polled
        })
        .await;
    }

    /// Answers with an error and nothing else.
    async fn fail(&mut self, error: &Error) {
        self.room().await;
        self.is_over = true;
        self.hub.with(|state, wakers| {
            if state.calls.contains_key(&self.call) {
                state
                    .outbox
                    .plain(self.call, kind::ERROR, 0, error_text(error).as_bytes());
                state.forget(self.call, wakers);
            }
        });
    }

    async fn answer(&mut self, response: Response) {
        let Response {
            mut content_type,
            metadata,
            body,
        } = response;
        let limit = self.hub.peer.head_size;
        if let Err(problem) = head::check_answer(&content_type, &metadata, limit) {
            let problem = format!("the answer cannot be sent: {}", problem.describe(limit));
            return self.fail(&Error::server(500, problem)).await;
        }
        if content_type == self.content_type {
            content_type = Text::new();
        }
        match body.try_into_single() {
            Ok(message) => self.one(&content_type, &metadata, message).await,
            // Boxed, so that the future of a call of one message has no room for a stream's.
            Err(body) => Box::pin(self.many(&content_type, &metadata, body)).await,
        }
    }

    async fn one(&mut self, content_type: &Text, metadata: &Metadata, message: Bytes) {
        let limit = self.hub.peer.message_size;
        if message.len() > limit as usize {
            return self
                .fail(&too_large(SERVER, message.len(), limit, "the caller"))
                .await;
        }
        let mut sent = None;
        poll_fn(|context| self.poll_one(content_type, metadata, &message, &mut sent, context)).await;
        self.is_over = true;
    }

    /// Puts in the answer, in parts where it is large. `sent` is how much of it was, `None` before its head.
    fn poll_one(
        &self,
        content_type: &Text,
        metadata: &Metadata,
        message: &Bytes,
        sent: &mut Option<usize>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        self.hub.with(|state, wakers| {
            let is_alone = state.calls.len() == 1;
            let Some(call) = state.calls.get_mut(&self.call) else {
                return Poll::Ready(());
            };
            let outbox = &mut state.outbox;
            let largest = self.largest_part(is_alone);
            let mut poll = || {
                let mut at = match *sent {
                    Some(at) => at,
                    None => {
                        ready!(outbox.poll_room(HIGH_WATER, context));
                        let first = message.slice(..message.len().min(largest));
                        let total = (first.len() < message.len())
                            .then(|| u32::try_from(message.len()).unwrap_or(u32::MAX));
                        let write = |buffer: &mut Vec<u8>| {
                            head::write_answer(content_type, metadata, false, total, buffer)
                        };
                        outbox.frame(self.call, kind::ANSWER, write, &first);
                        *sent.insert(first.len())
                    }
                };
                while at < message.len() {
                    ready!(outbox.poll_room(PART_WATER, context));
                    let part = message.slice(at..message.len().min(at + largest));
                    outbox.frame(self.call, kind::PART, |_| 0, &part);
                    at += part.len();
                    *sent = Some(at);
                }
                Poll::Ready(())
            };
            if poll().is_pending() {
                call.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            // Not woken: this is the task that would be.
            call.waker = None;
            state.forget(self.call, wakers);
            Poll::Ready(())
        })
    }

    fn largest_part(&self, is_alone: bool) -> usize {
        let peer = &self.hub.peer;
        let largest = (peer.frame_size - peer.head_size) as usize;
        if is_alone { largest } else { largest.min(PART) }
    }

    async fn many(&mut self, content_type: &Text, metadata: &Metadata, mut body: Body) {
        self.room().await;
        let begun = self.hub.with(|state, _| {
            let call = state.calls.get_mut(&self.call)?;
            let write = |buffer: &mut Vec<u8>| head::write_answer(content_type, metadata, true, None, buffer);
            state.outbox.frame(self.call, kind::ANSWER, write, &Bytes::new());
            let flow = call
                .flow
                .get_or_insert_with(|| Flow::new(&self.hub.own, &self.hub.peer));
            Some(flow.clone())
        });
        let Some(flow) = begun else {
            self.is_over = true;
            return;
        };
        let mut sender = Sender::new(self.hub.clone(), flow, self.call);
        let sent = poll_fn(|context| sender.poll_send(&mut body, context)).await;
        // What the body holds ends before the caller learns of the end.
        drop(body);
        match sent {
            Sent::Whole => {
                self.room().await;
                self.is_over = true;
                self.hub.with(|state, wakers| {
                    if state.calls.contains_key(&self.call) {
                        state.outbox.plain(self.call, kind::END, 0, &[]);
                        state.forget(self.call, wakers);
                    }
                });
            }
            Sent::Failed(error) => self.fail(&error).await,
            Sent::Gone => self.is_over = true,
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.hub.with(|state, wakers| {
            if state.calls.contains_key(&self.call) {
                state
                    .outbox
                    .plain(self.call, kind::CANCEL, 0, &[Cancel::Broken as u8]);
                state.forget(self.call, wakers);
            }
        });
    }
}
