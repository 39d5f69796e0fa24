//! Cases of values that are written and read.

use bytes::Bytes;
use micro_core::codec::{Codec, Codecs, Plain, Raw, Role};

use super::message::{AsNothing, AsProtobuf, Sample, Unwritable, samples};
use super::subject::{CodecSubject, ROLES};
use crate::suite::{Ending, Outcome, ensure, ensure_eq, needs};

pub(super) async fn the_content_type_is_in_its_plain_form(subject: CodecSubject) -> Outcome {
    let content_type = subject.codec.content_type();
    let is_plain = content_type
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && byte != b';');
    let has_parts = content_type.split('/').filter(|part| !part.is_empty()).count() == 2;
    ensure!(
        is_plain && has_parts,
        "{content_type:?} is no content type in lower case and without parameters"
    );
    Ok(())
}

pub(super) async fn it_is_found_by_its_content_type(subject: CodecSubject) -> Outcome {
    let content_type = subject.codec.content_type();
    let codecs = Codecs::standard().with(subject.codec.clone());
    for asked in [
        content_type.to_string(),
        content_type.to_uppercase(),
        format!("{content_type}; charset=utf-8"),
    ] {
        ensure_eq!(
            codecs.find(&asked)?.content_type(),
            content_type,
            "the codec for {asked}"
        );
    }
    match codecs.find("application/none-such") {
        Ok(_) => Err(Ending::failed("a codec was found for an unknown content type")),
        Err(error) => {
            ensure_eq!(error.code(), 415, "the code for an unknown content type");
            ensure!(
                error.detail().contains(content_type.as_str()),
                "{error} does not list {content_type}"
            );
            Ok(())
        }
    }
}

pub(super) async fn it_carries_something(subject: CodecSubject) -> Outcome {
    let traits = subject.traits;
    ensure!(
        traits.protobuf || traits.serde || traits.raw,
        "its CodecTraits say that it carries nothing: name what it does carry"
    );
    Ok(())
}

/// Writes a sample in each form and for each way that it may go, and compares what is read.
fn comes_back(subject: &CodecSubject, sample: &Sample) -> Outcome {
    for role in ROLES {
        if subject.traits.protobuf {
            let body = subject.encode(&AsProtobuf(sample.clone()), role)?;
            let read: AsProtobuf = subject.decode(body, role)?;
            ensure!(
                read.0 == *sample,
                "a protobuf value came back changed as a {role:?}: {read:?}"
            );
        }
        if subject.traits.serde {
            let body = subject.encode(&Plain::new(sample.clone()), role)?;
            let read: Plain<Sample> = subject.decode(body, role)?;
            ensure!(
                read.into_inner().as_ref() == Some(sample),
                "a serde value came back changed as a {role:?}"
            );
        }
        if subject.traits.raw {
            let raw = Raw(sample.text.clone().into_bytes().into());
            let read: Raw = subject.decode(subject.encode(&raw, role)?, role)?;
            ensure_eq!(read, raw, "bytes as a {role:?}");
        }
    }
    Ok(())
}

pub(super) async fn values_come_back(subject: CodecSubject) -> Outcome {
    samples()
        .iter()
        .try_for_each(|sample| comes_back(&subject, sample))
}

pub(super) async fn empty_values_come_back(subject: CodecSubject) -> Outcome {
    comes_back(&subject, &Sample::default())
}

pub(super) async fn a_large_value_comes_back(subject: CodecSubject) -> Outcome {
    comes_back(
        &subject,
        &Sample {
            text: "ö\n".repeat(500_000),
            words: vec!["word".into(); 10_000],
            blob: vec![0xff; 100_000],
            ..Sample::default()
        },
    )
}

pub(super) async fn a_value_at_the_front_of_a_buffer_is_taken_off_it(subject: CodecSubject) -> Outcome {
    for sample in samples() {
        if subject.traits.protobuf {
            let body = subject.encode(&AsProtobuf(sample.clone()), Role::Event)?;
            let read: AsProtobuf = subject.decode_front(&body, Role::Event)??;
            ensure!(read.0 == sample, "a protobuf value came back changed: {read:?}");
        }
        if subject.traits.serde {
            let body = subject.encode(&Plain::new(sample.clone()), Role::Event)?;
            let read: Plain<Sample> = subject.decode_front(&body, Role::Event)??;
            ensure!(
                read.into_inner() == Some(sample),
                "a serde value came back changed"
            );
        }
    }
    Ok(())
}

pub(super) async fn what_cannot_be_read_is_taken_off_its_buffer_too(subject: CodecSubject) -> Outcome {
    for (role, body) in subject.bodies()? {
        for length in [1, body.len() / 2, body.len().saturating_sub(1)] {
            let cut = body.slice(..length.min(body.len()));
            if subject.traits.protobuf {
                // Whether it can be read does not matter here.
                let _ = subject.decode_front::<AsProtobuf>(&cut, role)?;
            }
            if subject.traits.serde {
                let _ = subject.decode_front::<Plain<Sample>>(&cut, role)?;
            }
            let _ = subject.decode_front::<AsNothing>(&cut, role)?;
        }
    }
    Ok(())
}

pub(super) async fn what_it_writes_does_not_depend_on_the_time(subject: CodecSubject) -> Outcome {
    ensure!(
        subject.bodies()? == subject.bodies()?,
        "the same values were written in different ways"
    );
    Ok(())
}

pub(super) async fn a_type_without_the_wanted_form_is_unsupported(subject: CodecSubject) -> Outcome {
    let body = Bytes::from_static(b"{}");
    let mut results = vec![
        ("AsNothing", subject.encode(&AsNothing, Role::Request).err()),
        (
            "AsNothing",
            subject.decode::<AsNothing>(body.clone(), Role::Event).err(),
        ),
    ];
    if !subject.traits.protobuf {
        results.push((
            "AsProtobuf",
            subject.encode(&AsProtobuf::default(), Role::Request).err(),
        ));
    }
    if !subject.traits.serde {
        results.push((
            "Sample",
            subject
                .encode(&Plain::new(Sample::default()), Role::Request)
                .err(),
        ));
    }
    if !subject.traits.raw {
        results.push(("Raw", subject.encode(&Raw(body), Role::Request).err()));
    }
    for (type_name, error) in results {
        let error =
            error.ok_or_else(|| Ending::failed(format!("{type_name} was carried without a form for it")))?;
        ensure_eq!(error.code(), 415, "the code for {type_name}, {error}");
        ensure!(
            error.detail().contains(type_name),
            "{error} does not name the type {type_name}"
        );
    }
    Ok(())
}

pub(super) async fn a_value_that_cannot_be_written_is_an_error(subject: CodecSubject) -> Outcome {
    needs!(subject.traits.serde, "it writes nothing that could fail");
    for role in ROLES {
        let written = subject.encode(&Plain::new(Unwritable), role);
        ensure!(
            written.is_err(),
            "a value whose serializer fails was written as {written:?}"
        );
    }
    Ok(())
}

pub(super) async fn an_empty_body_is_a_value_or_a_bad_request(subject: CodecSubject) -> Outcome {
    ROLES
        .into_iter()
        .try_for_each(|role| subject.refuses_well(&Bytes::new(), role))
}
