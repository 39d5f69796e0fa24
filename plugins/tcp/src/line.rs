//! A connection that is read and written by one task.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use micro_core::transport::socket::{Socket, is_refused_certificate};
use tokio::time::Instant;

use crate::cursor::Violation;
use crate::frame::{Decoder, Frame};
use crate::hub::{Hub, Kept};
use crate::outbox::Writer;
use crate::read::Reader;

/// A connection.
pub(crate) struct Line<C> {
    pub(crate) hub: Arc<Hub<C>>,
    socket: Socket,
    reader: Reader,
    writer: Writer,
    /// Something was read since this was looked at last.
    pub(crate) was_heard: bool,
    /// How many frames were read.
    pub(crate) count: u64,
    /// Others that are ready had their turn to put something in.
    has_yielded: bool,
}

/// Why nothing more comes from a connection.
#[derive(Debug)]
pub(crate) enum Ended {
    Closed,
    Broken(io::Error),
    Wrong(Violation),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => formatter.write_str("it closed the connection"),
            Self::Broken(problem) if is_refused_certificate(problem) => {
                formatter.write_str("it refused this side's certificate; see Tls::identity")
            }
            Self::Broken(problem) => write!(formatter, "the connection broke: {problem}"),
            Self::Wrong(violation) => write!(formatter, "it sent what nobody may send: {violation}"),
        }
    }
}

impl<C: Kept> Line<C> {
    pub(crate) fn new(socket: Socket, hub: Arc<Hub<C>>) -> Self {
        Self {
            socket,
            reader: Reader::new(Decoder::new(hub.own)),
            writer: Writer::default(),
            was_heard: false,
            count: 0,
            has_yielded: false,
            hub,
        }
    }

    /// Reads once, and puts the frames that are there behind those that are there already.
    pub(crate) fn poll_read(
        &mut self,
        frames: &mut Vec<Frame>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Ended>> {
        match self.reader.poll_fill(&mut self.socket, context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(Ended::Closed)),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(problem)) => return Poll::Ready(Err(Ended::Broken(problem))),
        }
        self.was_heard = true;
        let now = Instant::now();
        loop {
            match self.reader.next(now) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return Poll::Ready(Ok(())),
                Err(violation) => return Poll::Ready(Err(Ended::Wrong(violation))),
            }
            self.count += 1;
        }
    }

    /// Writes what there is. True: everything is written, and this task is woken when there is more.
    pub(crate) fn poll_write(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        loop {
            if self.writer.is_busy()
                && let Poll::Ready(result) = self.writer.poll_write(&mut self.socket, context)
            {
                result?;
            }
            if self.writer.is_busy() {
                return Ok(false);
            }
            let (writer, has_yielded) = (&mut self.writer, self.has_yielded);
            let is_taken = self.hub.with_writer(|state, wakers| {
                // Whoever put in something first woke this task before the others had their turn.
                let is_crowded = state.calls.len() > 1 && state.outbox.has_frames();
                match is_crowded && !has_yielded {
                    true => None,
                    false => Some(writer.take(&mut state.outbox, wakers, context)),
                }
            });
            match is_taken {
                Some(true) => self.has_yielded = false,
                Some(false) => return Ok(true),
                None => {
                    self.has_yielded = true;
                    context.waker().wake_by_ref();
                    return Ok(false);
                }
            }
        }
    }

    /// Whether a frame is on its way in.
    pub(crate) fn is_mid_frame(&self) -> bool {
        self.reader.is_mid_frame()
    }

    /// Whether bytes are on their way out.
    pub(crate) fn is_writing(&self) -> bool {
        self.writer.is_busy()
    }

    pub(crate) fn written(&self) -> u64 {
        self.writer.written()
    }

    pub(crate) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }
}
