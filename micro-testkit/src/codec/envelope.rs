//! Cases of what a body says beside its value.

use bytes::Bytes;
use micro_core::codec::{Payload, Plain, Raw, Role};

use super::message::{AsProtobuf, Sample};
use super::subject::{CodecSubject, envelope};
use crate::suite::{Ending, Outcome, ensure, ensure_eq, needs};

/// A value in a form that the codec carries.
fn value(subject: &CodecSubject) -> Box<dyn Payload> {
    let traits = subject.traits;
    match (traits.protobuf, traits.serde) {
        (true, _) => Box::new(AsProtobuf::default()),
        (false, true) => Box::new(Plain::new(Sample::default())),
        (false, false) => Box::new(Raw(Bytes::from_static(b"raw"))),
    }
}

pub(super) async fn an_envelope_says_endpoint_and_id(subject: CodecSubject) -> Outcome {
    needs!(subject.traits.envelope, "its format has no envelope");
    let request = subject.encode(&*value(&subject), Role::Request)?;
    let opening = subject.codec.open(&request)?;
    let opening = opening.ok_or_else(|| Ending::failed("the envelope of a request says nothing"))?;
    let wanted = envelope(Role::Request);
    ensure_eq!(
        opening.endpoint.as_str(),
        wanted.endpoint,
        "the endpoint in the envelope of a request"
    );
    ensure_eq!(
        opening.id.as_str(),
        wanted.id,
        "the id in the envelope of a request"
    );
    let response = subject.encode(&*value(&subject), Role::Response)?;
    if let Some(opening) = subject.codec.open(&response)? {
        ensure_eq!(
            opening.id.as_str(),
            wanted.id,
            "the id in the envelope of a response"
        );
    }
    ensure!(
        subject
            .codec
            .open(&Bytes::new())?
            .is_none_or(|opening| opening == Default::default()),
        "nothing says something"
    );
    Ok(())
}

pub(super) async fn a_body_without_an_envelope_says_nothing(subject: CodecSubject) -> Outcome {
    needs!(!subject.traits.envelope, "its format has an envelope");
    let request = subject.encode(&*value(&subject), Role::Request)?;
    for body in [request, Bytes::new(), Bytes::from_static(b"\xff\x00[{")] {
        let opening = subject.codec.open(&body)?;
        ensure!(opening.is_none(), "a format without envelope says {opening:?}");
    }
    Ok(())
}
