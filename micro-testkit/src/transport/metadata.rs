//! Cases of what travels beside the messages.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use micro_core::{Metadata, Response};
use tokio::time::Instant;

use super::subject::{TransportSubject, read_all, request, streaming};
use crate::suite::{Ending, Outcome, ensure, ensure_eq, needs};

/// What a handler saw of a request.
#[derive(Clone, Default)]
struct Seen {
    service: String,
    endpoint: String,
    content_type: String,
    metadata: Metadata,
    remaining: Option<Duration>,
}

type Note = Arc<Mutex<Seen>>;

async fn serve_noting(subject: &TransportSubject) -> Result<(super::subject::Served, Note), Ending> {
    let note = Note::default();
    let noted = note.clone();
    let served = subject
        .serve(move |mut request| {
            *noted.lock().unwrap_or_else(PoisonError::into_inner) = Seen {
                service: request.service.to_string(),
                endpoint: request.endpoint.to_string(),
                content_type: request.content_type.to_string(),
                metadata: request.metadata.clone(),
                remaining: request.remaining(),
            };
            async move {
                // The first message of a stream does: its end may be far.
                let mut response = Response::new(request.take_body().single().await?);
                response.metadata.insert("Answered-By", "kit");
                response.metadata.insert("Answer-Text", "Köln, 東京");
                Ok(response)
            }
        })
        .await?;
    Ok((served, note))
}

fn seen(note: &Note) -> Seen {
    note.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

pub(super) async fn service_endpoint_and_content_type_arrive(subject: TransportSubject) -> Outcome {
    let (served, note) = serve_noting(&subject).await?;
    for content_type in [
        "application/json",
        "application/protobuf",
        "application/x-own+thing",
    ] {
        let mut request = request("{}");
        request.content_type = content_type.into();
        let response = subject.soon("the answer", served.peer.handle(request)).await??;
        let seen = seen(&note);
        ensure_eq!(seen.service, "testkit", "the service");
        ensure_eq!(seen.endpoint, "Kit.Call", "the endpoint");
        ensure_eq!(seen.content_type, content_type, "the content type");
        let answered = response.content_type.as_str();
        ensure!(
            answered.is_empty() || answered == content_type,
            "an answer in the format of its request came as {answered:?}, not {content_type:?}"
        );
    }
    Ok(())
}

pub(super) async fn the_content_type_of_an_answer_arrives(subject: TransportSubject) -> Outcome {
    let served = subject
        .serve(|_| async {
            let mut response = Response::new("answer");
            response.content_type = "application/x-other".into();
            Ok(response)
        })
        .await?;
    let response = subject
        .soon("the answer", served.peer.handle(request("x")))
        .await??;
    ensure_eq!(
        response.content_type.as_str(),
        "application/x-other",
        "the content type of the answer"
    );
    Ok(())
}

pub(super) async fn metadata_travel_both_ways_whatever_their_case(subject: TransportSubject) -> Outcome {
    let (served, note) = serve_noting(&subject).await?;
    let mut request = request("x");
    request.metadata = Metadata::from([
        ("Tenant", "acme"),
        ("x-lower", "1"),
        ("TEXT", "Köln, 東京; \"q\" = %20"),
    ]);
    let response = subject.soon("the answer", served.peer.handle(request)).await??;
    let seen = seen(&note).metadata;
    for name in ["tenant", "TENANT", "Tenant"] {
        ensure_eq!(seen.get(name), Some("acme"), "the metadata under {name}");
    }
    ensure_eq!(seen.get("X-Lower"), Some("1"), "the metadata under X-Lower");
    ensure_eq!(
        seen.get("Text"),
        Some("Köln, 東京; \"q\" = %20"),
        "a text in metadata"
    );
    for name in ["answered-by", "Answered-By"] {
        ensure_eq!(
            response.metadata.get(name),
            Some("kit"),
            "the metadata of the answer under {name}"
        );
    }
    ensure_eq!(
        response.metadata.get("Answer-Text"),
        Some("Köln, 東京"),
        "a text in the metadata of an answer"
    );
    Ok(())
}

pub(super) async fn odd_metadata_break_nothing(subject: TransportSubject) -> Outcome {
    let (served, note) = serve_noting(&subject).await?;
    let long = "x".repeat(4096);
    let values = [
        "",
        " ",
        "a\nb",
        "a\r\nInjected: yes",
        "a\r\n\r\nInjected",
        "nul\0",
        "\u{7f}",
        "tab\tbed",
        "🚀",
        &long,
    ];
    let names = [
        "",
        "with space",
        "co:lon",
        "new\nline",
        "Injected: yes\r\nOther",
        "ümlaut",
        "nul\0",
    ];
    let pairs = values
        .map(|value| ("Odd", value))
        .into_iter()
        .chain(names.map(|name| (name, "value")));
    for (name, value) in pairs {
        let mut request = request("body");
        request.metadata = Metadata::from([("Before", "1"), (name, value), ("Zafter", "2")]);
        let answer = async { served.peer.handle(request).await?.body.single().await };
        // To refuse such a pair is as good as to carry it.
        if let Ok(answer) = subject.soon("the answer to odd metadata", answer).await? {
            ensure_eq!(answer, "body", "the answer beside {name:?}: {value:?}");
            let seen = seen(&note).metadata;
            ensure!(
                !seen.contains("Injected"),
                "{name:?}: {value:?} became metadata of its own: {seen:?}"
            );
            ensure_eq!(
                (seen.get("Before"), seen.get("Zafter")),
                (Some("1"), Some("2")),
                "what stood around {name:?}"
            );
        }
        ensure_eq!(
            subject.call(&served.peer, "next").await??,
            "next",
            "the answer after {name:?}: {value:?}"
        );
    }
    Ok(())
}

fn is_about(remaining: Option<Duration>, sent: Duration) -> Outcome {
    let about = sent.mul_f32(0.5)..=sent;
    ensure!(
        remaining.is_some_and(|remaining| about.contains(&remaining)),
        "of a deadline {sent:?} away, {remaining:?} was left at the far side"
    );
    Ok(())
}

pub(super) async fn the_deadline_arrives_and_is_no_longer_than_sent(subject: TransportSubject) -> Outcome {
    let (served, note) = serve_noting(&subject).await?;
    for sent in [Duration::from_secs(5), Duration::from_secs(3600)] {
        let mut request = request("x");
        request.deadline = Some(Instant::now() + sent);
        subject.soon("the answer", served.peer.handle(request)).await??;
        is_about(seen(&note).remaining, sent)?;
    }
    Ok(())
}

pub(super) async fn metadata_and_deadline_arrive_with_a_stream(subject: TransportSubject) -> Outcome {
    needs!(subject.traits.streams, "it carries no streams");
    let (served, note) = serve_noting(&subject).await?;
    let mut request = streaming(Bytes::from_static(b"x"));
    request.metadata = Metadata::from([("Tenant", "acme")]);
    request.content_type = "application/json".into();
    request.deadline = Some(Instant::now() + Duration::from_secs(60));
    let body = subject
        .soon("the stream", served.peer.handle(request))
        .await??
        .body;
    subject.soon("the end of the stream", read_all(body)).await?;
    let seen = seen(&note);
    ensure_eq!(seen.metadata.get("tenant"), Some("acme"), "the metadata");
    ensure_eq!(seen.content_type, "application/json", "the content type");
    ensure_eq!(seen.endpoint, "Kit.Call", "the endpoint");
    is_about(seen.remaining, Duration::from_secs(60))
}
