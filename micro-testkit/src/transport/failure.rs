//! Cases of calls that fail, are given up, or reach nobody.

use std::sync::Arc;
use std::time::Duration;

use micro_core::handler::handler_fn;
use micro_core::{Error, Response};
use tokio::sync::Semaphore;

use super::subject::{TransportSubject, request};
use crate::suite::{Dropped, Ending, Outcome, ensure, ensure_eq, needs};

/// The error of something that must fail.
#[track_caller]
pub(super) fn failed<T>(result: Result<T, Error>, what: &str) -> Result<Error, Ending> {
    match result {
        Ok(_) => Err(Ending::failed(format!("{what} succeeded where it must fail"))),
        Err(error) => Ok(error),
    }
}

pub(super) async fn an_error_travels_with_id_code_and_detail(subject: TransportSubject) -> Outcome {
    let details = [
        "as asked",
        "",
        "Köln \"東京\" 🚀",
        "two\nlines\r\nInjected: yes\r\n\r\n",
        "{\"json\":1}",
        "tab\t\0nul",
        " spaces ",
    ];
    let served = subject
        .serve(move |mut request| async move {
            let at = request
                .take_body()
                .single()
                .await?
                .first()
                .copied()
                .unwrap_or_default();
            Err(Error::new("kit.fail", 409, details[usize::from(at)]))
        })
        .await?;
    for (at, detail) in details.iter().enumerate() {
        let error = failed(subject.call(&served.peer, vec![at as u8]).await?, "the call")?;
        ensure_eq!(
            (error.id(), error.code(), error.detail(), error.status()),
            ("kit.fail", 409, *detail, "Conflict"),
            "the error"
        );
        ensure!(
            !error.is_never_started() && !error.is_unanswered(),
            "an error that was answered is {error:?}"
        );
    }
    Ok(())
}

pub(super) async fn a_plain_text_travels_as_an_error(subject: TransportSubject) -> Outcome {
    let served = subject
        .serve(|_| async { Err(Error::new("", 0, "just words")) })
        .await?;
    let error = failed(subject.call(&served.peer, "x").await?, "the call")?;
    ensure_eq!(error.detail(), "just words", "the text of the error");
    Ok(())
}

pub(super) async fn a_very_long_error_is_still_an_error(subject: TransportSubject) -> Outcome {
    let served = subject
        .serve(|mut request| async move {
            match request.take_body().single().await?.is_empty() {
                true => Ok(Response::new("well")),
                false => Err(Error::internal("kit", "long ".repeat(60_000))),
            }
        })
        .await?;
    for _ in 0..3 {
        failed(subject.call(&served.peer, "x").await?, "the call")?;
        ensure_eq!(
            subject.call(&served.peer, "").await??,
            "well",
            "the answer after a very long error"
        );
    }
    Ok(())
}

pub(super) async fn a_dropped_call_drops_its_handler(subject: TransportSubject) -> Outcome {
    needs!(
        subject.traits.cancels,
        "a dropped call is not noticed at the far side"
    );
    let (began, dropped) = (Arc::new(Semaphore::new(0)), Dropped::new());
    let (begins, drops) = (began.clone(), dropped.clone());
    let served = subject
        .serve(move |_| {
            let (begins, guard) = (begins.clone(), drops.guard());
            async move {
                begins.add_permits(1);
                let _guard = guard;
                std::future::pending().await
            }
        })
        .await?;
    for _ in 0..3 {
        tokio::select! {
            _ = served.peer.handle(request("x")) => return Err(Ending::failed("a handler that never ends has answered")),
            began = subject.soon("the beginning of the handler", began.acquire()) => {
                if let Ok(permit) = began? { permit.forget() }
            }
        }
        subject
            .soon("the drop of the handler whose call was dropped", dropped.wait(1))
            .await?;
    }
    Ok(())
}

pub(super) async fn a_dropped_call_leaves_its_answer_to_nobody(subject: TransportSubject) -> Outcome {
    let began = Arc::new(Semaphore::new(0));
    let begins = began.clone();
    let served = subject
        .serve(move |mut request| {
            let begins = begins.clone();
            async move {
                let body = request.take_body();
                if body.as_single().is_some_and(|body| body == "dropped") {
                    begins.add_permits(1);
                    tokio::task::yield_now().await;
                }
                Ok(Response::new(body))
            }
        })
        .await?;
    for _ in 0..50 {
        tokio::select! {
            biased;
            _ = began.acquire() => {}
            _ = served.peer.handle(request("dropped")) => {}
        }
        ensure_eq!(
            subject.call(&served.peer, "mine").await??,
            "mine",
            "the answer after a call that was dropped"
        );
    }
    Ok(())
}

pub(super) async fn a_call_to_nobody_never_started(subject: TransportSubject) -> Outcome {
    needs!(
        subject.traits.notices_absence,
        "nobody tells it that nobody listens"
    );
    let served = subject.serve_echo().await?;
    let address = served.listener.address().to_owned();
    // Closed and awaited: what was only dropped may still take a connection, which then is no absence.
    served.listener.close(Duration::ZERO).await;
    let call = async { subject.dial(&address).await?.handle(request("x")).await };
    let error = failed(
        subject.soon("the failure of a call to nobody", call).await?,
        "a call to nobody",
    )?;
    ensure!(
        error.is_never_started(),
        "the failure of a call to nobody is not never_started: {error:?}"
    );
    ensure!(
        error.detail().contains(&address),
        "the failure of a call to nobody does not name {address}: {error}"
    );
    Ok(())
}

pub(super) async fn a_malformed_address_is_refused_by_name(subject: TransportSubject) -> Outcome {
    for address in &subject.traits.malformed {
        let call = async { subject.dial(address).await?.handle(request("x")).await };
        let error = failed(
            subject.soon("the failure of a call to no address", call).await?,
            "a call to no address",
        )?;
        ensure!(
            error.is_never_started(),
            "the failure of a call to {address:?} is not never_started: {error:?}"
        );
        ensure!(
            error.detail().contains(address),
            "the failure of a call to {address:?} does not name it: {error}"
        );
    }
    Ok(())
}

pub(super) async fn a_taken_address_is_refused_by_name(subject: TransportSubject) -> Outcome {
    let served = subject.serve_echo().await?;
    let address = served.listener.address();
    let nobody = Arc::new(handler_fn(|_| async { Ok(Response::default()) }));
    let listening = subject.transport.listen(address, nobody);
    let error = failed(
        subject.soon("listening at a taken address", listening).await?,
        "listening at a taken address",
    )?;
    ensure!(
        error.detail().contains(address),
        "the failure to listen at {address} does not name it: {error}"
    );
    Ok(())
}
