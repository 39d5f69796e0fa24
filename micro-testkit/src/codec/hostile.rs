//! Cases of bodies that are not what they should be: errors, never a panic, never much work.

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};

use super::subject::{CodecSubject, ROLES};
use crate::suite::{Outcome, ensure};

/// How long the reading of all bodies of a case may take.
const BOUND: Duration = Duration::from_secs(30);

/// Reads bodies in every role, none of which may panic, take long, or be refused in another way than as a bad request.
fn all_are_refused_well(subject: &CodecSubject, bodies: impl IntoIterator<Item = Bytes>) -> Outcome {
    let begin = Instant::now();
    for body in bodies {
        for role in ROLES {
            let before = begin.elapsed();
            subject.refuses_well(&body, role)?;
            let took = begin.elapsed() - before;
            ensure!(
                took < Duration::from_secs(5),
                "a body of {} bytes took {took:?} to refuse",
                body.len()
            );
        }
        ensure!(begin.elapsed() < BOUND, "reading malformed bodies takes too long");
    }
    Ok(())
}

/// A generator with a seed of its own, so that a failure can be had again.
fn random() -> fastrand::Rng {
    fastrand::Rng::with_seed(0x6d69_6372_6f00)
}

pub(super) async fn a_body_that_is_cut_off_is_a_bad_request(subject: CodecSubject) -> Outcome {
    let bodies = subject.bodies()?;
    let cut = bodies.iter().flat_map(|(_, body)| {
        let step = (body.len() / 300).max(1);
        (0..body.len()).step_by(step).map(|length| body.slice(..length))
    });
    all_are_refused_well(&subject, cut)
}

pub(super) async fn a_body_with_wrong_bytes_is_a_bad_request(subject: CodecSubject) -> Outcome {
    let mut random = random();
    let mut wrong = Vec::new();
    for (_, body) in subject.bodies()? {
        for _ in 0..200 {
            let mut bytes = body.to_vec();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len().max(1)).min(bytes.len());
                match random.u8(..4) {
                    0 if at < bytes.len() => bytes[at] = random.u8(..),
                    1 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
                    2 if at < bytes.len() => {
                        bytes.remove(at);
                    }
                    _ => bytes.insert(at, random.u8(..)),
                }
            }
            wrong.push(Bytes::from(bytes));
        }
    }
    all_are_refused_well(&subject, wrong)
}

pub(super) async fn a_random_body_is_a_bad_request(subject: CodecSubject) -> Outcome {
    let mut random = random();
    let mut bodies = Vec::new();
    for _ in 0..3000 {
        let mut bytes = vec![0; random.usize(..200)];
        random.fill(&mut bytes);
        bodies.push(Bytes::from(bytes));
    }
    all_are_refused_well(&subject, bodies)
}

pub(super) async fn a_body_that_nests_deeply_is_a_bad_request(subject: CodecSubject) -> Outcome {
    const DEPTH: usize = 100_000;
    let json = [
        "[".repeat(DEPTH),
        "{\"inner\":".repeat(DEPTH),
        format!("{{\"params\":[{}", "{\"inner\":".repeat(DEPTH)),
        format!("{{\"result\":{}", "[".repeat(DEPTH)),
        format!("{{\"id\":{}", "[".repeat(DEPTH)),
    ];
    // One array, one group and one map inside the other, in binary formats.
    let binary = [0x91, 0x43, 0x0b, 0x81, 0xdc].map(|byte| Bytes::from(vec![byte; DEPTH]));
    let bodies = json
        .into_iter()
        .map(Bytes::from)
        .chain(binary)
        .chain([nested_protobuf()]);
    all_are_refused_well(&subject, bodies)
}

/// Protobuf messages one inside the other, lengths and all.
fn nested_protobuf() -> Bytes {
    let mut inner = Vec::new();
    for _ in 0..2000 {
        let mut outer = vec![0x42];
        prost::encoding::encode_varint(inner.len() as u64, &mut outer);
        outer.extend_from_slice(&inner);
        inner = outer;
    }
    inner.into()
}

pub(super) async fn a_length_that_lies_is_a_bad_request(subject: CodecSubject) -> Outcome {
    let mut bodies = Vec::new();
    for length in [u32::MAX, i32::MAX as u32, 1 << 24] {
        for tag in [0x0a, 0x32, 0x3a, 0x42, 0xc6, 0xc9, 0xdb, 0xdd, 0xdf, 0x9b] {
            let mut body = BytesMut::new();
            body.put_u8(tag);
            prost::encoding::encode_varint(length.into(), &mut body);
            body.put_slice(b"little");
            bodies.push(body.freeze());
            let mut body = BytesMut::new();
            body.put_u8(tag);
            body.put_u32(length);
            body.put_slice(b"little");
            bodies.push(body.freeze());
        }
        let mut body = BytesMut::new();
        body.put_u32(length);
        body.put_u32(length);
        bodies.push(body.freeze());
    }
    all_are_refused_well(&subject, bodies)
}
