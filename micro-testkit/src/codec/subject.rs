//! The codec that a case tests.

use std::sync::Arc;

use bytes::Bytes;
use micro_core::codec::{Codec, Envelope, Message, Payload, Plain, Raw, Role};
use micro_core::{Error, Result};

use super::CodecTraits;
use super::message::{AsProtobuf, Sample, samples};
use crate::suite::{Failure, Outcome, Subject};

/// The codec that a case tests.
#[derive(Clone)]
pub struct CodecSubject {
    pub(super) codec: Arc<dyn Codec>,
    pub(super) traits: CodecTraits,
}

impl Subject for CodecSubject {}

/// All ways that a body may go.
pub(super) const ROLES: [Role; 3] = [Role::Request, Role::Response, Role::Event];

/// What is written around a value, where the format has room for it.
pub(super) fn envelope(role: Role) -> Envelope<'static> {
    Envelope {
        role,
        endpoint: "Kit.Call",
        id: "17",
    }
}

impl CodecSubject {
    pub(super) fn encode(&self, payload: &dyn Payload, role: Role) -> Result<Bytes> {
        self.codec.encode(payload, &envelope(role))
    }

    pub(super) fn decode<T: Message>(&self, body: Bytes, role: Role) -> Result<T> {
        let mut slot = T::default();
        self.codec.decode(body, &mut slot, role)?;
        Ok(slot)
    }

    /// Reads a body that has something behind it. What is behind it must still be there, and nothing else.
    pub(super) fn decode_front<T: Message>(&self, body: &Bytes, role: Role) -> Result<Result<T>, Failure> {
        let behind = b"behind";
        let mut buffer = Bytes::from([body, &behind[..]].concat());
        let mut slot = T::default();
        let read = self.codec.decode_front(&mut buffer, body.len(), &mut slot, role);
        if buffer[..] != behind[..] {
            let length = body.len();
            return Err(Failure::new(format!(
                "of a body of {length} bytes with 6 behind it, {} bytes were left",
                buffer.len()
            )));
        }
        Ok(read.map(|()| slot))
    }

    /// Reads a body, whatever it is, into every form that this codec carries; returns the errors.
    pub(super) fn try_decode(&self, body: &Bytes, role: Role) -> Vec<Error> {
        let forms = [
            self.traits
                .protobuf
                .then(|| self.decode::<AsProtobuf>(body.clone(), role).err()),
            self.traits
                .serde
                .then(|| self.decode::<Plain<Sample>>(body.clone(), role).err()),
            self.traits
                .raw
                .then(|| self.decode::<Raw>(body.clone(), role).err()),
        ];
        let opened = (role == Role::Request).then(|| self.codec.open(body).err());
        forms.into_iter().chain([opened]).flatten().flatten().collect()
    }

    /// Well-formed bodies of every form that this codec carries.
    pub(super) fn bodies(&self) -> Result<Vec<(Role, Bytes)>> {
        let mut bodies = Vec::new();
        for role in ROLES {
            for sample in samples() {
                if self.traits.protobuf {
                    bodies.push((role, self.encode(&AsProtobuf(sample.clone()), role)?));
                }
                if self.traits.serde {
                    bodies.push((role, self.encode(&Plain::new(sample), role)?));
                }
            }
            if self.traits.raw {
                bodies.push((
                    role,
                    self.encode(&Raw(Bytes::from_static(b"raw \x00\xff")), role)?,
                ));
            }
        }
        Ok(bodies)
    }

    /// A body that cannot be read must be refused as a bad request.
    #[track_caller]
    pub(super) fn refuses_well(&self, body: &Bytes, role: Role) -> Outcome {
        for error in self.try_decode(body, role) {
            // What an envelope says of failure is an error of the far side, which may have any code.
            if error.code() != 400 && !self.traits.envelope {
                let begin = body.slice(..body.len().min(64));
                return Err(Failure::new(format!(
                    "a body of {} bytes, {begin:?}…, read as a {role:?} gave no bad request but {error:?}",
                    body.len()
                ))
                .into());
            }
        }
        Ok(())
    }
}
