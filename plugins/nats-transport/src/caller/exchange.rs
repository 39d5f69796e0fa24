//! One message goes out, and one comes back.

use std::sync::atomic::Ordering;

use async_nats::{Message, Subject};
use micro_core::{Error, Request, Response, Result};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Idle, PeerShared};
use crate::error;
use crate::frame::{Frame, asked, request_header};
use crate::mark::Mark;

// Exclusive, because a request cannot be shared by threads; it stays as it is.
pub(super) async fn exchange(peer: &PeerShared, request: &mut Request) -> Result<Response> {
    let id = peer.next_id().to_string();
    let header = request_header(request, &id, false);
    let body = request.body.as_single().cloned().unwrap_or_default();
    let payload = asked(&header, body);
    peer.check_size("the request", payload.len())
        .map_err(Error::never_started)?;
    peer.connected().await?;
    let mut busy = Busy::new(peer);
    let (tell, told) = oneshot::channel();
    peer.shared
        .sockets
        .begin_call(busy.socket, peer.address.clone(), tell);
    let client = peer.shared.connection.client();
    let sent = client
        .publish_with_reply(peer.subject.clone(), busy.inbox.clone(), payload)
        .await;
    sent.map_err(|_| peer.shared.connection.gone().never_started())?;
    let answer = match told.await {
        Ok(answer) => answer,
        Err(_) => Err(error::gone(&peer.address, "the transport was closed")),
    };
    match answer {
        Ok(message) => {
            busy.is_answered = true;
            response(peer, &message, request)
        }
        Err(error) => {
            // Whoever is gone need not be told.
            busy.is_over = true;
            Err(error)
        }
    }
}

fn response(peer: &PeerShared, message: &Message, request: &Request) -> Result<Response> {
    let frame = Frame::read(&message.payload).map_err(|problem| error::malformed(&peer.address, &problem))?;
    if frame.is_gos {
        peer.is_gos.store(true, Ordering::Relaxed);
    }
    if let Some(error) = refusal(&frame, message) {
        return Err(error);
    }
    let mut metadata = frame.metadata;
    // A topic has no place in an answer.
    metadata.remove("Micro-Topic");
    let content_type = match frame.content_type.is_empty() {
        true => request.content_type.clone(),
        false => frame.content_type,
    };
    Ok(Response {
        content_type,
        metadata,
        body: frame.body.into(),
    })
}

/// The error that a message carries, if it does.
pub(super) fn refusal(frame: &Frame, message: &Message) -> Option<Error> {
    if frame.error.is_empty() {
        return None;
    }
    let error = Error::from_wire(&frame.error);
    Some(match Mark::of(message) {
        Some(Mark::Refused) => error.never_started(),
        Some(Mark::Cut) => error.unanswered(),
        _ => error,
    })
}

/// A socket during a call. Dropped before the answer, it tells the node to give up.
struct Busy<'a> {
    peer: &'a PeerShared,
    socket: u64,
    inbox: Subject,
    is_answered: bool,
    is_over: bool,
}

impl<'a> Busy<'a> {
    fn new(peer: &'a PeerShared) -> Self {
        let idle = peer.idle().pop();
        let (socket, inbox) = match idle {
            Some(idle) => (idle.socket, idle.inbox),
            None => peer.shared.sockets.new_socket(),
        };
        Self {
            peer,
            socket,
            inbox,
            is_answered: false,
            is_over: false,
        }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let inbox = std::mem::replace(&mut self.inbox, Subject::from_static("-"));
        if !self.is_answered {
            self.peer.shared.sockets.end(self.socket);
            return self.peer.close(inbox);
        }
        // A listener of this crate holds nothing for a socket between calls.
        if !self.peer.is_gos.load(Ordering::Relaxed) {
            return;
        }
        let mut idle = self.peer.idle();
        if idle.len() < self.peer.shared.config.pool_size {
            idle.push(Idle {
                socket: self.socket,
                inbox,
                since: Instant::now(),
            });
        } else {
            drop(idle);
            self.peer.close(inbox);
        }
    }
}
