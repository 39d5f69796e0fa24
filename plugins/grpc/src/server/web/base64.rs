//! The base64 of gRPC-Web's text: pieces that are each encoded for themselves, cut anywhere.

use ::base64::Engine;
use bytes::Bytes;
use micro_core::Result;

use crate::framing::malformed;
use crate::status::BASE64;

/// Decodes what arrives.
#[derive(Default)]
pub(super) struct Decoder {
    /// The letters of a group of four that is not whole.
    rest: Vec<u8>,
}

impl Decoder {
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<Bytes> {
        let mut letters = std::mem::take(&mut self.rest);
        letters.extend(piece.iter().filter(|letter| !letter.is_ascii_whitespace()));
        self.rest = letters.split_off(letters.len() / 4 * 4);
        decode(&letters)
    }

    /// What is left at the end, where the last group may lack its padding.
    pub(super) fn finish(&mut self) -> Result<Bytes> {
        decode(&std::mem::take(&mut self.rest))
    }
}

/// Decodes whole groups; padding may be at the end of any.
fn decode(mut letters: &[u8]) -> Result<Bytes> {
    let mut bytes = Vec::with_capacity(letters.len() / 4 * 3 + 2);
    while !letters.is_empty() {
        let padding = letters.iter().position(|letter| *letter == b'=');
        let end = padding.map_or(letters.len(), |at| (at / 4 + 1) * 4);
        let (part, rest) = letters.split_at(end.min(letters.len()));
        BASE64
            .decode_vec(part, &mut bytes)
            .map_err(|problem| malformed(&format!("a body of grpc-web-text is no base64: {problem}")))?;
        letters = rest;
    }
    Ok(bytes.into())
}

/// Encodes a piece, with padding.
pub(super) fn encode(piece: &[u8]) -> Bytes {
    ::base64::engine::general_purpose::STANDARD.encode(piece).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_decoded_wherever_they_are_cut() {
        let parts: [&[u8]; 5] = [b"", b"a", b"bc", b"def", &[0xff; 1000]];
        let text: Vec<u8> = parts.iter().flat_map(|part| encode(part)).collect();
        for length in [1, 2, 3, 4, 5, 7, text.len()] {
            let mut decoder = Decoder::default();
            let mut decoded = Vec::new();
            for piece in text.chunks(length) {
                decoded.extend(decoder.push(piece).unwrap());
            }
            decoded.extend(decoder.finish().unwrap());
            assert_eq!(decoded, parts.concat(), "pieces of {length}");
        }
    }

    #[test]
    fn the_last_padding_may_be_missing_and_what_is_no_base64_is_an_error() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.push(b"aGk").unwrap(), "");
        assert_eq!(decoder.finish().unwrap(), "hi");
        for text in ["a%bc", "====", "=abc", "AB=C"] {
            assert!(Decoder::default().push(text.as_bytes()).is_err(), "{text}");
        }
        let mut decoder = Decoder::default();
        decoder.push(b"aGkhX").unwrap();
        assert!(decoder.finish().is_err());
    }
}
