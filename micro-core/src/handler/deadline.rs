//! The end of what nobody waits for any more.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{Body, Lot, Lots};
use crate::error::SERVER;
use crate::{Error, Result};

/// When a call ends, whether it is answered or not.
pub(crate) struct Deadline {
    at: Option<Instant>,
    /// Only what is not done at once has a timer.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    pub(crate) fn new(at: Option<Instant>) -> Self {
        Self { at, timer: None }
    }

    fn poll_passed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        timer.as_mut().poll(context)
    }

    /// What the work comes to, or `None` where the time was over first.
    pub(crate) async fn bound<T>(mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.poll_passed(context).map(|()| None),
        })
        .await
    }

    /// A body that ends with this error when the time is over.
    pub(crate) fn bound_body(self, body: Body, late: impl Fn() -> Error + Send + Unpin + 'static) -> Body {
        match self.at {
            Some(_) if body.is_stream() => Body::lots(Bounded {
                body,
                deadline: self,
                late,
            }),
            _ => body,
        }
    }
}

/// The error of a call whose handler was not done when its caller stopped waiting.
pub(crate) fn outlived(endpoint: &str) -> Error {
    Error::timeout(
        SERVER,
        format!("{endpoint}: not answered within the time that its caller waits; the handler was stopped"),
    )
}

struct Bounded<F> {
    body: Body,
    deadline: Deadline,
    late: F,
}

impl<F: Fn() -> Error + Send + Unpin + 'static> Lots for Bounded<F> {
    fn poll_lot(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Lot>>> {
        if let Poll::Ready(lot) = self.body.poll_lot(context) {
            return Poll::Ready(lot);
        }
        self.deadline.poll_passed(context).map(|()| {
            // What the handler held is free from here.
            self.body = Body::stream(futures_util::stream::empty());
            self.deadline.at = None;
            Some(Err((self.late)()))
        })
    }
}
