//! Cases of listeners and peers that go away.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use micro_core::handler::handler_fn;
use micro_core::{Body, Response};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::failure::failed;
use super::subject::{Served, TransportSubject, read_all, request, streaming};
use crate::suite::{Ending, Outcome, ensure, ensure_eq, needs};

/// A handler that says when it has begun and ends when it is told to.
struct Held {
    served: Served,
    began: Arc<Semaphore>,
    go_on: Arc<Semaphore>,
}

async fn serve_held(subject: &TransportSubject) -> Result<Held, Ending> {
    let (began, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let signals = (began.clone(), go_on.clone());
    let served = subject
        .serve(move |mut request| {
            let (began, go_on) = signals.clone();
            async move {
                began.add_permits(1);
                let _ = go_on.acquire().await;
                Ok(Response::new(request.take_body()))
            }
        })
        .await?;
    Ok(Held { served, began, go_on })
}

const GRACE: Duration = Duration::from_secs(20);

pub(super) async fn a_listener_that_closes_lets_running_calls_end(subject: TransportSubject) -> Outcome {
    let held = serve_held(&subject).await?;
    let Served { listener, peer } = held.served;
    let calls = futures_util::future::join_all((0..8).map(|_| subject.call(&peer, "x")));
    let close = async {
        let _ = held.began.acquire_many(8).await;
        let (closed, ()) = tokio::join!(subject.soon("closing", listener.close(GRACE)), async {
            // Some time for the listener to cut off what it should not.
            tokio::time::sleep(Duration::from_millis(50)).await;
            held.go_on.add_permits(8);
        });
        closed
    };
    let (answers, closed) = tokio::join!(calls, close);
    for answer in answers {
        ensure_eq!(
            answer??,
            "x",
            "the answer of a call that ran when its listener closed"
        );
    }
    closed
}

pub(super) async fn a_listener_that_closes_gives_up_after_its_grace(subject: TransportSubject) -> Outcome {
    let held = serve_held(&subject).await?;
    let Served { listener, peer } = held.served;
    let grace = Duration::from_millis(300);
    let close = async {
        let _ = held.began.acquire().await;
        let begin = Instant::now();
        subject
            .soon("closing with a short grace", listener.close(grace))
            .await?;
        Ok::<_, Ending>(begin.elapsed())
    };
    let (answer, took) = tokio::join!(peer.handle(request("x")), close);
    let took = took?;
    ensure!(
        took >= grace.mul_f32(0.9),
        "the listener waited only {took:?} of its grace of {grace:?}"
    );
    failed(answer, "a call that outlived the grace")?;
    Ok(())
}

pub(super) async fn a_closed_listener_starts_no_calls(subject: TransportSubject) -> Outcome {
    needs!(
        subject.traits.notices_absence,
        "nobody tells it that nobody listens"
    );
    let Served { listener, peer } = subject.serve_echo().await?;
    let address = listener.address().to_owned();
    ensure_eq!(
        subject.call(&peer, "before").await??,
        "before",
        "the answer before closing"
    );
    let unused = subject.dial(&address).await?;
    subject.soon("closing", listener.close(GRACE)).await?;
    for (peer, what) in [(&peer, "a used peer"), (&unused, "an unused peer")] {
        let error = failed(subject.call(peer, "after").await?, "a call after closing")?;
        ensure!(
            error.is_never_started(),
            "the failure of {what} after closing is not never_started: {error:?}"
        );
    }
    Ok(())
}

pub(super) async fn a_dropped_listener_fails_running_calls_as_unanswered(
    subject: TransportSubject,
) -> Outcome {
    needs!(
        subject.traits.notices_absence,
        "nobody tells it that the far side is gone"
    );
    let held = serve_held(&subject).await?;
    let Served { listener, peer } = held.served;
    let (answer, _) = tokio::join!(subject.call(&peer, "x"), async {
        let _ = held.began.acquire().await;
        drop(listener);
    });
    let error = failed(answer?, "a call whose listener was dropped")?;
    ensure!(
        error.is_unanswered(),
        "the failure of a call that was cut off is not unanswered: {error:?}"
    );
    Ok(())
}

pub(super) async fn a_peer_reaches_a_listener_that_came_back(subject: TransportSubject) -> Outcome {
    let Served { listener, peer } = subject.serve_echo().await?;
    let address = listener.address().to_owned();
    ensure_eq!(
        subject.call(&peer, "before").await??,
        "before",
        "the answer before closing"
    );
    subject.soon("closing", listener.close(GRACE)).await?;
    let again = Arc::new(handler_fn(|_| async { Ok(Response::new("again")) }));
    let _listener = subject
        .soon("listening again", subject.transport.listen(&address, again))
        .await??;
    ensure_eq!(
        subject.call(&peer, "x").await??,
        "again",
        "the answer of the listener that came back"
    );
    Ok(())
}

pub(super) async fn a_dropped_peer_holds_up_no_listener(subject: TransportSubject) -> Outcome {
    let Served { listener, peer } = subject.serve_echo().await?;
    let idle = subject.dial(listener.address()).await?;
    for peer in [&peer, &idle] {
        ensure_eq!(subject.call(peer, "x").await??, "x", "the answer");
    }
    drop(peer);
    // One is gone and one is idle; neither is a reason to wait.
    subject
        .soon("closing without running calls", listener.close(GRACE))
        .await
}

/// Serves streams that give one message, and then end when they are told to.
async fn serve_held_stream(subject: &TransportSubject) -> Result<(Served, Arc<Semaphore>), Ending> {
    let go_on = Arc::new(Semaphore::new(0));
    let signal = go_on.clone();
    let served = subject
        .serve(move |_| {
            let signal = signal.clone();
            async move {
                let last = stream::once(async move {
                    let _ = signal.acquire().await;
                    Ok(Bytes::from_static(b"last"))
                });
                let first = stream::iter([Ok(Bytes::from_static(b"first"))]);
                Ok(Response::new(Body::stream(first.chain(last))))
            }
        })
        .await?;
    Ok((served, go_on))
}

pub(super) async fn a_dropped_listener_cuts_streams_with_an_error(subject: TransportSubject) -> Outcome {
    needs!(subject.traits.streams, "it carries no streams");
    needs!(
        subject.traits.notices_absence,
        "nobody tells it that the far side is gone"
    );
    let (Served { listener, peer }, _go_on) = serve_held_stream(&subject).await?;
    let mut body = peer.handle(streaming("x")).await?.body;
    let first = subject.soon("the first message", body.message()).await?;
    ensure_eq!(
        first.transpose()?,
        Some(Bytes::from_static(b"first")),
        "the first message"
    );
    drop(listener);
    let (rest, error) = subject
        .soon("the end of a stream that was cut", read_all(body))
        .await?;
    ensure!(rest.is_empty(), "a stream that was cut gave {rest:?}");
    ensure!(
        error.as_ref().is_some_and(micro_core::Error::is_unanswered),
        "a stream that was cut did not end with an unanswered error but {error:?}"
    );
    Ok(())
}

pub(super) async fn a_listener_that_closes_lets_running_streams_end(subject: TransportSubject) -> Outcome {
    needs!(subject.traits.streams, "it carries no streams");
    let (Served { listener, peer }, go_on) = serve_held_stream(&subject).await?;
    let mut body = peer.handle(streaming("x")).await?.body;
    subject
        .soon("the first message", body.message())
        .await?
        .transpose()?;
    let read = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        go_on.add_permits(1);
        read_all(body).await
    };
    let (closed, (rest, error)) = tokio::join!(subject.soon("closing", listener.close(GRACE)), read);
    ensure_eq!(
        rest,
        ["last"],
        "the rest of a stream that ran when its listener closed, which ended with {error:?}"
    );
    ensure!(
        error.is_none(),
        "a stream that ran when its listener closed ended with {error:?}"
    );
    closed
}
