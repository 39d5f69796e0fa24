//! Cases about what is read.

use serde_json::json;

use super::subject::SourceSubject;
use crate::suite::{Outcome, ensure, ensure_eq, needs};

pub(super) async fn what_was_put_is_read(subject: SourceSubject) -> Outcome {
    let wanted = json!({
        "name": "größer ✓",
        "on": true,
        "none": null,
        "ratio": 0.5,
        "below": -7,
        "list": [1, {"a": "b"}, []],
        "deep": {"deeper": {"deepest": "x"}},
    });
    subject.put(&wanted.to_string()).await?;
    let mut source = subject.source().await?;
    subject.reads(&mut *source, &wanted).await
}

pub(super) async fn what_was_put_again_is_read(subject: SourceSubject) -> Outcome {
    subject.put_number(1).await?;
    let mut source = subject.source().await?;
    subject.reads_number(&mut *source, 1).await?;
    subject.put_number(2).await?;
    subject.reads_number(&mut *source, 2).await
}

pub(super) async fn reading_twice_gives_the_same(subject: SourceSubject) -> Outcome {
    subject.put_number(1).await?;
    let mut source = subject.source().await?;
    let first = subject.read(&mut *source).await??;
    let second = subject.read(&mut *source).await??;
    ensure_eq!(first, second, "what is read twice");
    Ok(())
}

pub(super) async fn a_large_text_is_read(subject: SourceSubject) -> Outcome {
    let room = subject.traits().max_text.saturating_sub(16);
    let wanted = json!({ "text": "x".repeat(room) });
    subject.put(&wanted.to_string()).await?;
    let mut source = subject.source().await?;
    subject.reads(&mut *source, &wanted).await
}

pub(super) async fn what_was_never_put_is_missing(subject: SourceSubject) -> Outcome {
    needs!(subject.traits().removable, "it is never missing");
    let mut source = subject.source().await?;
    subject.reads_nothing(&mut *source).await
}

pub(super) async fn what_was_removed_is_missing(subject: SourceSubject) -> Outcome {
    needs!(subject.traits().removable, "it is never missing");
    subject.put_number(1).await?;
    let mut source = subject.source().await?;
    subject.reads_number(&mut *source, 1).await?;
    subject.remove().await?;
    subject.reads_nothing(&mut *source).await
}

pub(super) async fn what_is_put_after_a_removal_is_read(subject: SourceSubject) -> Outcome {
    needs!(subject.traits().removable, "it is never missing");
    subject.put_number(1).await?;
    let mut source = subject.source().await?;
    subject.reads_number(&mut *source, 1).await?;
    subject.remove().await?;
    subject.reads_nothing(&mut *source).await?;
    subject.put_number(2).await?;
    subject.reads_number(&mut *source, 2).await
}

pub(super) async fn it_says_what_it_is_called(subject: SourceSubject) -> Outcome {
    subject.put_number(1).await?;
    let mut source = subject.source().await?;
    let name = source.to_string();
    ensure!(!name.trim().is_empty(), "it is called nothing");
    ensure!(name.lines().count() == 1, "its name has several lines: {name:?}");
    for document in subject.read(&mut *source).await?? {
        let origin = &document.origin;
        ensure!(!origin.trim().is_empty(), "a document of {name} is from nowhere");
        ensure!(
            origin.lines().count() == 1,
            "an origin has several lines: {origin:?}"
        );
    }
    Ok(())
}

pub(super) async fn two_sources_of_one_place_read_the_same(subject: SourceSubject) -> Outcome {
    subject.put_number(1).await?;
    let mut one = subject.source().await?;
    let mut other = subject.source().await?;
    subject.reads_number(&mut *one, 1).await?;
    subject.reads_number(&mut *other, 1).await?;
    subject.put_number(2).await?;
    subject.tells_number(&mut *one, 2).await?;
    subject.tells_number(&mut *other, 2).await
}
