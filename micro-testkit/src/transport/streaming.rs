//! Cases of streams: their shapes, and how they end.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use micro_core::handler::{Recover, handler_fn};
use micro_core::{Body, Error, Response, Result, Wrapper};

use super::failure::failed;
use super::subject::{Served, TransportSubject, fed, messages, number, read_all, request, streaming};
use crate::suite::{Ending, Outcome, ensure, ensure_eq, needs};

pub(super) async fn one_message_is_answered_by_many(subject: TransportSubject) -> Outcome {
    needs!(subject.traits.streams, "it carries no streams");
    let served = subject
        .serve(|mut request| async move {
            let asked = request.take_body().single().await?;
            let count = String::from_utf8_lossy(&asked).parse().unwrap_or(0);
            Ok(Response::new(messages((0..count).map(number))))
        })
        .await?;
    for count in [1, 5, 100] {
        let body = subject
            .soon("the stream", served.peer.handle(streaming(number(count))))
            .await??
            .body;
        let (read, error) = subject.soon("the end of the stream", read_all(body)).await?;
        ensure!(error.is_none(), "a stream ended with {error:?}");
        ensure!(
            read.iter().cloned().eq((0..count).map(number)),
            "{count} messages came as {read:?}"
        );
    }
    Ok(())
}

/// Serves what counts the messages of a stream and answers with their number once.
async fn serve_counting(subject: &TransportSubject) -> Result<Served> {
    subject
        .serve(|mut request| async move {
            let mut body = request.take_body();
            let mut count = 0;
            while let Some(message) = body.message().await {
                message?;
                count += 1;
            }
            Ok(Response::new(number(count)))
        })
        .await
}

pub(super) async fn many_messages_are_answered_by_one(subject: TransportSubject) -> Outcome {
    needs!(subject.traits.streams, "it carries no streams");
    needs!(
        subject.traits.half_close,
        "the end of the caller's messages ends the stream"
    );
    let served = serve_counting(&subject).await?;
    for count in [1, 5, 100] {
        let asked = streaming(messages((0..count).map(number)));
        let answer = async {
            read_all(served.peer.handle(asked).await?.body)
                .await
                .into_result()
        };
        let read = subject.soon("the one answer", answer).await??;
        ensure_eq!(read, [number(count)], "the answer to {count} messages");
    }
    Ok(())
}

/// What was read of a body, where an error in it counts.
trait IntoResult {
    fn into_result(self) -> Result<Vec<Bytes>>;
}

impl IntoResult for (Vec<Bytes>, Option<Error>) {
    fn into_result(self) -> Result<Vec<Bytes>> {
        match self {
            (_, Some(error)) => Err(error),
            (messages, None) => Ok(messages),
        }
    }
}

/// Serves what answers each message with the same one, after a greeting if there is to be one.
async fn serve_stream_echo(subject: &TransportSubject, greeting: Option<&'static str>) -> Result<Served> {
    subject
        .serve(move |mut request| async move {
            let greeting = greeting.map(|greeting| Ok(Bytes::from_static(greeting.as_bytes())));
            let echoed = stream::iter(greeting).chain(request.take_body());
            Ok(Response::new(Body::stream(echoed)))
        })
        .await
}

async fn plays_ping_pong(subject: &TransportSubject, greeting: Option<&'static str>) -> Outcome {
    needs!(subject.traits.streams, "it carries no streams");
    let served = serve_stream_echo(subject, greeting).await?;
    let (sender, body) = fed();
    let mut answers = subject
        .soon("the stream", served.peer.handle(streaming(body)))
        .await??
        .body;
    if let Some(greeting) = greeting {
        let first = subject
            .soon("the greeting", answers.message())
            .await?
            .transpose()?;
        ensure_eq!(first.as_deref(), Some(greeting.as_bytes()), "the greeting");
    }
    for round in 0..100 {
        let sent = sender.send(Ok(number(round)));
        ensure!(
            subject.soon("sending", sent).await?.is_ok(),
            "the stream took no message {round}"
        );
        let answer = subject
            .soon("the answer to a message", answers.message())
            .await?
            .transpose()?;
        ensure_eq!(answer, Some(number(round)), "the answer to message {round}");
    }
    drop(sender);
    if subject.traits.half_close {
        let (rest, error) = subject.soon("the end of the stream", read_all(answers)).await?;
        ensure!(
            rest.is_empty() && error.is_none(),
            "the stream ended with {rest:?} and {error:?}"
        );
    }
    Ok(())
}

pub(super) async fn the_caller_may_speak_first(subject: TransportSubject) -> Outcome {
    plays_ping_pong(&subject, None).await
}

pub(super) async fn the_far_side_may_speak_first(subject: TransportSubject) -> Outcome {
    plays_ping_pong(&subject, Some("welcome")).await
}

pub(super) async fn both_sides_may_talk_at_once(subject: TransportSubject) -> Outcome {
    const COUNT: usize = 1000;
    needs!(subject.traits.streams, "it carries no streams");
    needs!(
        subject.traits.half_close,
        "the end of the caller's messages ends the stream"
    );
    let served = subject
        .serve(|mut request| async move {
            // Says its own while it listens, and at last how many it has heard.
            let heard = request.take_body().count();
            let said = stream::iter((0..COUNT).map(|at| Ok(number(at))));
            let sum = stream::once(async move { Ok(number(heard.await)) });
            Ok(Response::new(Body::stream(stream::select(said, sum))))
        })
        .await?;
    let body = messages((0..COUNT).map(number));
    let answers = subject
        .soon("the stream", served.peer.handle(streaming(body)))
        .await??
        .body;
    let (mut read, error) = subject.soon("the end of the stream", read_all(answers)).await?;
    ensure!(error.is_none(), "the stream ended with {error:?}");
    ensure_eq!(read.len(), COUNT + 1, "the messages that came back");
    // The sum comes wherever it comes; it is the number that comes beyond those said.
    let sum = number(COUNT);
    let at = read.iter().position(|message| *message == sum);
    ensure!(at.is_some(), "the far side did not hear all {COUNT} messages");
    read.remove(at.unwrap_or_default());
    ensure!(
        read.into_iter().eq((0..COUNT).map(number)),
        "the far side's messages came in another order"
    );
    Ok(())
}

pub(super) async fn streams_without_messages_just_end(subject: TransportSubject) -> Outcome {
    needs!(subject.traits.streams, "it carries no streams");
    let silent = subject
        .serve(|_| async { Ok(Response::new(messages([]))) })
        .await?;
    let body = subject
        .soon("the stream", silent.peer.handle(streaming("x")))
        .await??
        .body;
    let (read, error) = subject.soon("the end of the stream", read_all(body)).await?;
    ensure!(
        read.is_empty() && error.is_none(),
        "an empty stream came as {read:?} and {error:?}"
    );
    if subject.traits.half_close {
        let counting = serve_counting(&subject).await?;
        let answer = async {
            read_all(counting.peer.handle(streaming(messages([]))).await?.body)
                .await
                .into_result()
        };
        ensure_eq!(
            subject.soon("the answer", answer).await??,
            ["0"],
            "the number of no messages"
        );
    }
    Ok(())
}

pub(super) async fn empty_messages_arrive_in_streams(subject: TransportSubject) -> Outcome {
    needs!(subject.traits.streams, "it carries no streams");
    let texts = ["", "a", "", "", "b", ""];
    let sent = texts.map(|text| Bytes::from_static(text.as_bytes()));
    let served = subject
        .serve(move |_| async move {
            Ok(Response::new(messages(
                texts.map(|text| Bytes::from_static(text.as_bytes())),
            )))
        })
        .await?;
    let body = subject
        .soon("the stream", served.peer.handle(streaming("x")))
        .await??
        .body;
    let (read, error) = subject.soon("the end of the stream", read_all(body)).await?;
    ensure!(error.is_none(), "the stream ended with {error:?}");
    ensure_eq!(read, sent, "the messages");
    Ok(())
}

pub(super) async fn an_error_in_mid_stream_comes_after_the_messages_before_it(
    subject: TransportSubject,
) -> Outcome {
    needs!(subject.traits.streams, "it carries no streams");
    let served = subject
        .serve(|_| async {
            let before = (0..10).map(|at| Ok(number(at)));
            let error = Error::conflict("kit.stream", "in the middle\nof \"it\"");
            Ok(Response::new(Body::stream(stream::iter(
                before.chain([Err(error)]),
            ))))
        })
        .await?;
    let body = subject
        .soon("the stream", served.peer.handle(streaming("x")))
        .await??
        .body;
    let (read, error) = subject.soon("the end of the stream", read_all(body)).await?;
    ensure!(
        read.into_iter().eq((0..10).map(number)),
        "the messages before the error did not all come"
    );
    let error = error.ok_or_else(|| Ending::failed("the stream ended without its error"))?;
    ensure_eq!(
        (error.id(), error.code(), error.detail()),
        ("kit.stream", 409, "in the middle\nof \"it\""),
        "the error that ended the stream"
    );
    Ok(())
}

pub(super) async fn an_error_in_place_of_a_stream_is_that_error(subject: TransportSubject) -> Outcome {
    needs!(subject.traits.streams, "it carries no streams");
    let served = subject
        .serve(|_| async { Err(Error::forbidden("kit", "not you")) })
        .await?;
    for body in [Body::from("x"), messages([number(1), number(2)]), fed().1] {
        let answer = async {
            read_all(served.peer.handle(streaming(body)).await?.body)
                .await
                .into_result()
        };
        let error = failed(
            subject.soon("the failure", answer).await?,
            "a stream that is refused",
        )?;
        ensure_eq!((error.code(), error.detail()), (403, "not you"), "the error");
    }
    Ok(())
}

pub(super) async fn a_panic_in_mid_stream_is_an_error_behind_recover(subject: TransportSubject) -> Outcome {
    needs!(subject.traits.streams, "it carries no streams");
    let panics = handler_fn(|_| async {
        let said = stream::iter([Ok(number(1))]);
        let panics = stream::once(async { std::panic::panic_any("on purpose") });
        Ok(Response::new(Body::stream(said.chain(panics))))
    });
    let served = subject.serve_handler(Recover.wrap(Arc::new(panics))).await?;
    let body = subject
        .soon("the stream", served.peer.handle(streaming("x")))
        .await??
        .body;
    let (read, error) = subject.soon("the end of the stream", read_all(body)).await?;
    ensure_eq!(read, ["1"], "the messages before the panic");
    ensure_eq!(
        error.as_ref().map(Error::code),
        Some(500),
        "the code of a panic, {error:?}"
    );
    Ok(())
}

pub(super) async fn a_stream_to_one_answer_has_one_message(subject: TransportSubject) -> Outcome {
    needs!(subject.traits.streams, "it carries no streams");
    let served = subject.serve(|_| async { Ok(Response::new("one")) }).await?;
    let answer = async {
        read_all(served.peer.handle(streaming("x")).await?.body)
            .await
            .into_result()
    };
    ensure_eq!(
        subject.soon("the end of the stream", answer).await??,
        ["one"],
        "the messages"
    );
    Ok(())
}

pub(super) async fn a_plain_call_of_a_streaming_endpoint_does_not_hang(subject: TransportSubject) -> Outcome {
    needs!(subject.traits.streams, "it carries no streams");
    let served = subject
        .serve(|mut request| async move {
            let body = request.take_body();
            match body.as_single().is_some_and(|body| body == "plain") {
                true => Ok(Response::new(body)),
                false => Ok(Response::new(messages((0..3).map(number)))),
            }
        })
        .await?;
    for _ in 0..3 {
        let answer = async { served.peer.handle(request("x")).await?.body.single().await };
        // The first message will do; so will an error that says it.
        match subject.soon("the answer", answer).await? {
            Ok(first) => ensure_eq!(first, "0", "the answer"),
            Err(error) => ensure!(
                error.detail().contains("stream") && !error.is_never_started(),
                "the error of a plain call to a streaming endpoint does not say so: {error:?}"
            ),
        }
        ensure_eq!(
            subject.call(&served.peer, "plain").await??,
            "plain",
            "the answer of the next call"
        );
    }
    Ok(())
}
