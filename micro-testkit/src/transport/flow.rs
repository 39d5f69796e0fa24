//! Cases of streams that are long, large, slow or many, and of those that are given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::{StreamExt, stream};
use micro_core::{Body, Response};
use tokio::sync::Semaphore;

use super::subject::{TransportSubject, fed, messages, number, read_all, streaming};
use crate::suite::{Dropped, Ending, Outcome, ensure, ensure_eq, needs};

const KIBIBYTES_64: usize = 64 * 1024;

pub(super) async fn a_stream_keeps_its_order(subject: TransportSubject) -> Outcome {
    const COUNT: usize = 10_000;
    needs!(subject.traits.streams, "it carries no streams");
    needs!(
        subject.traits.half_close,
        "the end of the caller's messages ends the stream"
    );
    let served = subject.serve_echo().await?;
    let body = messages((0..COUNT).map(number));
    let mut answers = subject
        .soon("the stream", served.peer.handle(streaming(body)))
        .await??
        .body;
    for at in 0..COUNT {
        let answer = subject
            .soon("the next message", answers.message())
            .await?
            .transpose()?;
        ensure_eq!(answer, Some(number(at)), "message {at}");
    }
    let end = subject.soon("the end of the stream", answers.message()).await?;
    ensure!(end.is_none(), "after the last message came {end:?}");
    Ok(())
}

/// Messages of 64 KiB, each full of its own number, and how many were taken.
fn large_messages(count: usize, taken: Arc<AtomicUsize>) -> Body {
    messages((0..count).map(move |at| {
        taken.fetch_add(1, Ordering::SeqCst);
        Bytes::from(vec![at as u8; KIBIBYTES_64])
    }))
}

async fn read_large(subject: &TransportSubject, body: &mut Body, count: usize) -> Outcome {
    for at in 0..count {
        let message = subject
            .soon("the next large message", body.message())
            .await?
            .transpose()?;
        let message =
            message.ok_or_else(|| Ending::failed(format!("the stream ended before message {at}")))?;
        let is_whole = message.len() == KIBIBYTES_64 && message.iter().all(|byte| *byte == at as u8);
        ensure!(
            is_whole,
            "message {at} of 64 KiB came as {} bytes, or changed",
            message.len()
        );
    }
    let end = subject.soon("the end of the stream", body.message()).await?;
    ensure!(end.is_none(), "after the last message came {end:?}");
    Ok(())
}

pub(super) async fn a_stream_of_large_messages_arrives_whole(subject: TransportSubject) -> Outcome {
    needs!(subject.traits.streams, "it carries no streams");
    needs!(
        subject.traits.half_close,
        "the end of the caller's messages ends the stream"
    );
    needs!(
        subject.traits.max_message >= KIBIBYTES_64,
        "it carries no message as large as that"
    );
    let served = subject.serve_echo().await?;
    let body = large_messages(1000, Arc::default());
    let mut answers = subject
        .soon("the stream", served.peer.handle(streaming(body)))
        .await??
        .body;
    read_large(&subject, &mut answers, 1000).await
}

pub(super) async fn dropping_the_answer_drops_the_far_handler(subject: TransportSubject) -> Outcome {
    needs!(subject.traits.streams, "it carries no streams");
    needs!(
        subject.traits.cancels,
        "a dropped call is not noticed at the far side"
    );
    let dropped = Dropped::new();
    let drops = dropped.clone();
    let served = subject
        .serve(move |mut request| {
            let guard = drops.guard();
            async move {
                let mut asked = request.take_body();
                let _ = asked.message().await;
                let said = stream::iter([Ok(number(1))]).chain(stream::pending());
                Ok(Response::new(Body::stream(said).guard((guard, asked))))
            }
        })
        .await?;
    for _ in 0..3 {
        // Once with a direction that has ended, once with one that is still open.
        let (_sender, open) = fed();
        let open = Body::stream(messages([number(0)]).chain(open));
        for body in [Body::from("x"), open] {
            let mut answers = subject
                .soon("the stream", served.peer.handle(streaming(body)))
                .await??
                .body;
            let first = subject
                .soon("the first message", answers.message())
                .await?
                .transpose()?;
            ensure_eq!(first, Some(number(1)), "the first message");
            drop(answers);
            subject
                .soon("the drop of the far handler", dropped.wait(1))
                .await?;
        }
    }
    Ok(())
}

pub(super) async fn dropping_the_answer_after_the_own_end_drops_the_far_handler(
    subject: TransportSubject,
) -> Outcome {
    needs!(subject.traits.streams, "it carries no streams");
    needs!(
        subject.traits.half_close,
        "the end of the caller's messages ends the stream"
    );
    needs!(
        subject.traits.cancels,
        "a dropped call is not noticed at the far side"
    );
    let dropped = Dropped::new();
    let drops = dropped.clone();
    let served = subject
        .serve(move |mut request| {
            let guard = drops.guard();
            async move {
                // What it says shows the caller that its end was seen.
                let count = read_all(request.take_body()).await.0.len();
                let said = stream::iter([Ok(number(count))]).chain(stream::pending());
                Ok(Response::new(Body::stream(said).guard(guard)))
            }
        })
        .await?;
    for _ in 0..3 {
        let asked = streaming(messages((0..2).map(number)));
        let mut answers = subject.soon("the stream", served.peer.handle(asked)).await??.body;
        let first = subject
            .soon("the first message", answers.message())
            .await?
            .transpose()?;
        ensure_eq!(first, Some(number(2)), "the number of messages");
        drop(answers);
        subject
            .soon("the drop of the far handler", dropped.wait(1))
            .await?;
    }
    Ok(())
}

pub(super) async fn a_handler_that_stops_reading_can_answer(subject: TransportSubject) -> Outcome {
    needs!(subject.traits.streams, "it carries no streams");
    for keeps in [true, false] {
        let served = subject
            .serve(move |mut request| async move {
                let mut asked = request.take_body();
                let _ = asked.message().await;
                let answer = messages([Bytes::from_static(b"enough")]);
                Ok(Response::new(if keeps { answer.guard(asked) } else { answer }))
            })
            .await?;
        let endless = messages(std::iter::repeat_with(|| Bytes::from(vec![7; 4096])));
        let answer = async {
            Ok::<_, micro_core::Error>(read_all(served.peer.handle(streaming(endless)).await?.body).await)
        };
        let (read, error) = subject
            .soon("the answer of a handler that stopped reading", answer)
            .await??;
        ensure_eq!(read, ["enough"], "the answer, before the end {error:?}");
    }
    Ok(())
}

/// Waits until a count stands still, and returns it.
async fn at_rest(count: &AtomicUsize) -> usize {
    let mut before = count.load(Ordering::SeqCst);
    let mut since = tokio::time::Instant::now();
    while since.elapsed() < Duration::from_millis(300) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = count.load(Ordering::SeqCst);
        if now != before {
            (before, since) = (now, tokio::time::Instant::now());
        }
    }
    before
}

const MANY: usize = 2000;

pub(super) async fn a_slow_caller_slows_the_handler(subject: TransportSubject) -> Outcome {
    needs!(subject.traits.streams, "it carries no streams");
    let Some(limit) = subject.traits.under_way else {
        return Err(Ending::Skipped("a slow reader does not slow the writer"));
    };
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let served = subject
        .serve(move |_| {
            let count = count.clone();
            async move { Ok(Response::new(large_messages(MANY, count))) }
        })
        .await?;
    let mut answers = subject
        .soon("the stream", served.peer.handle(streaming("x")))
        .await??
        .body;
    let ahead = at_rest(&taken).await;
    ensure!(
        ahead <= limit,
        "the far side wrote {ahead} messages of 64 KiB that nobody read; {limit} may be under way"
    );
    read_large(&subject, &mut answers, MANY).await
}

pub(super) async fn a_slow_handler_slows_the_caller(subject: TransportSubject) -> Outcome {
    needs!(subject.traits.streams, "it carries no streams");
    let Some(limit) = subject.traits.under_way else {
        return Err(Ending::Skipped("a slow reader does not slow the writer"));
    };
    let go_on = Arc::new(Semaphore::new(0));
    let signal = go_on.clone();
    let served = subject
        .serve(move |mut request| {
            let signal = signal.clone();
            async move {
                let asked = request.take_body();
                let sum = async move {
                    let _ = signal.acquire().await;
                    let (read, error) = read_all(asked).await;
                    error.map_or(Ok(number(read.len())), Err)
                };
                Ok(Response::new(Body::stream(stream::once(sum))))
            }
        })
        .await?;
    let taken = Arc::new(AtomicUsize::new(0));
    let body = large_messages(MANY, taken.clone());
    let mut answers = subject
        .soon("the stream", served.peer.handle(streaming(body)))
        .await??
        .body;
    // Somebody must wait for the answer, or a transport without tasks would not move at all.
    let ahead = tokio::select! {
        ahead = at_rest(&taken) => ahead,
        answer = answers.message() => return Err(Ending::failed(format!("the handler answered early: {answer:?}"))),
    };
    ensure!(
        ahead <= limit,
        "this side wrote {ahead} messages of 64 KiB that nobody read; {limit} may be under way"
    );
    go_on.add_permits(1);
    if subject.traits.half_close {
        let sum = subject
            .soon("the number of messages read", answers.message())
            .await?
            .transpose()?;
        ensure_eq!(sum, Some(number(MANY)), "how many messages were read in the end");
    }
    Ok(())
}

pub(super) async fn many_streams_run_at_once(subject: TransportSubject) -> Outcome {
    const STREAMS: usize = 200;
    needs!(subject.traits.streams, "it carries no streams");
    let served = subject.serve_echo().await?;
    let opened = (0..STREAMS).map(|at| {
        let (subject, peer) = (&subject, &served.peer);
        async move {
            let (sender, body) = fed();
            let answers = subject
                .soon("one of many streams", peer.handle(streaming(body)))
                .await??
                .body;
            Ok::<_, Ending>((at, sender, answers))
        }
    });
    let opened: Vec<_> = opened.collect();
    let mut open = try_join_all(opened).await?;
    for round in 0..5 {
        let exchanged = open.iter_mut().map(|(at, sender, answers)| {
            let message = number(*at * 10 + round);
            let subject = &subject;
            async move {
                let _ = sender.send(Ok(message.clone())).await;
                let answer = subject
                    .soon("an answer in one of many streams", answers.message())
                    .await?
                    .transpose()?;
                ensure_eq!(answer, Some(message), "the answer in stream {at}");
                Ok(())
            }
        });
        let exchanged: Vec<_> = exchanged.collect();
        try_join_all(exchanged).await?;
    }
    Ok(())
}
