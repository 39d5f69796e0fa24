//! Cases of one message for one.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use micro_core::handler::{Recover, handler_fn};
use micro_core::{Response, Wrapper};

use super::subject::{TransportSubject, number};
use crate::suite::{Outcome, ensure, ensure_eq, needs};

async fn comes_back(subject: &TransportSubject, message: Bytes) -> Outcome {
    let served = subject.serve_echo().await?;
    for _ in 0..2 {
        let answer = subject.call(&served.peer, message.clone()).await??;
        ensure!(
            answer == message,
            "a message of {} bytes came back as another one of {} bytes",
            message.len(),
            answer.len()
        );
    }
    Ok(())
}

pub(super) async fn a_message_comes_back(subject: TransportSubject) -> Outcome {
    comes_back(&subject, Bytes::from_static(b"hello")).await
}

pub(super) async fn an_empty_message_comes_back_empty(subject: TransportSubject) -> Outcome {
    comes_back(&subject, Bytes::new()).await
}

pub(super) async fn bytes_of_every_value_come_back(subject: TransportSubject) -> Outcome {
    let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    comes_back(&subject, all.into()).await?;
    // What looks like the transport's own framing is a message like any other.
    comes_back(
        &subject,
        Bytes::from_static(b"\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    )
    .await
}

fn noise(length: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(length as u64);
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes.into()
}

pub(super) async fn a_message_of_one_mebibyte_comes_back(subject: TransportSubject) -> Outcome {
    needs!(
        subject.traits.max_message >= 1 << 20,
        "it carries no message as large as that"
    );
    comes_back(&subject, noise(1 << 20)).await
}

pub(super) async fn a_message_of_the_promised_size_comes_back(subject: TransportSubject) -> Outcome {
    comes_back(&subject, noise(subject.traits.max_message)).await
}

pub(super) async fn many_calls_follow_each_other(subject: TransportSubject) -> Outcome {
    let served = subject.serve_echo().await?;
    for round in 0..500 {
        let answer = subject.call(&served.peer, number(round)).await??;
        ensure_eq!(answer, number(round), "the answer");
    }
    Ok(())
}

pub(super) async fn many_calls_at_once_get_their_own_answers(subject: TransportSubject) -> Outcome {
    // No call is answered before all of them are there.
    let all = Arc::new(tokio::sync::Barrier::new(64));
    let served = subject
        .serve(move |mut request| {
            let all = all.clone();
            async move {
                all.wait().await;
                Ok(Response::new(request.take_body()))
            }
        })
        .await?;
    for round in 0..3 {
        let calls = (0..64).map(|call| subject.call(&served.peer, number(round * 1000 + call)));
        for (call, answer) in join_all(calls).await.into_iter().enumerate() {
            ensure_eq!(
                answer??,
                number(round * 1000 + call),
                "the answer of one of many calls"
            );
        }
    }
    Ok(())
}

pub(super) async fn a_panic_behind_recover_fails_one_call(subject: TransportSubject) -> Outcome {
    let panics = handler_fn(|mut request| async move {
        let body = request.take_body();
        if body.as_single().is_some_and(|body| body == "panic") {
            std::panic::panic_any("on purpose");
        }
        Ok(Response::new(body))
    });
    let served = subject.serve_handler(Recover.wrap(Arc::new(panics))).await?;
    let (panicked, well) = tokio::join!(
        subject.call(&served.peer, "panic"),
        subject.call(&served.peer, "well")
    );
    let error = panicked?.err();
    ensure_eq!(
        error.as_ref().map(micro_core::Error::code),
        Some(500),
        "the code of a panic, {error:?}"
    );
    ensure_eq!(well??, "well", "the answer of the call beside it");
    ensure_eq!(
        subject.call(&served.peer, "after").await??,
        "after",
        "the answer of the call after it"
    );
    Ok(())
}
