//! Frames: what a connection carries after its first words.

use bytes::Bytes;
use micro_core::handler::Packed;
use micro_core::{Metadata, Request, Text};
use tokio::time::Instant;

use crate::cursor::{Cursor, Violation, violation};
use crate::head::{self, Numbers};
use crate::preamble::Terms;

/// How long the beginning of a frame is, in bytes: length, call, kind, flags.
pub(crate) const HEADER: usize = 10;
/// What a frame of a stream's messages counts beside its length, in bytes: small messages take memory, too.
pub(crate) const FRAME_COST: u32 = 32;
/// The longest text of an error that travels, in bytes; longer ones are cut.
const LONGEST_ERROR: usize = 3 * 1024;

/// What a frame is.
pub(crate) mod kind {
    pub(crate) const CALL: u8 = 1;
    pub(crate) const ANSWER: u8 = 2;
    pub(crate) const PART: u8 = 3;
    pub(crate) const DATA: u8 = 4;
    pub(crate) const END: u8 = 5;
    pub(crate) const ERROR: u8 = 6;
    pub(crate) const CANCEL: u8 = 7;
    pub(crate) const WINDOW: u8 = 8;
    pub(crate) const PING: u8 = 9;
    pub(crate) const PONG: u8 = 10;
    pub(crate) const GOODBYE: u8 = 11;
}

/// What a frame's flags say.
pub(crate) mod flag {
    /// The message goes on in the next frame of the call.
    pub(crate) const MORE: u8 = 1;
    /// The call is one of streams.
    pub(crate) const STREAM: u8 = 2;
    /// The messages come in frames of their own, and their end, too.
    pub(crate) const MESSAGES: u8 = 4;
    pub(crate) const DEADLINE: u8 = 8;
    pub(crate) const METADATA: u8 = 16;
    /// Names are written out.
    pub(crate) const NAMES: u8 = 32;
    /// There are several messages, packed.
    pub(crate) const SEVERAL: u8 = 64;
}

/// Why a call is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancel {
    /// Nobody waits for it any more.
    Dropped,
    /// It was not looked at, and may go elsewhere.
    Refused,
    /// Its handler ended without an answer.
    Broken,
}

impl Cancel {
    fn from_byte(byte: u8) -> Result<Self, Violation> {
        match byte {
            0 => Ok(Self::Dropped),
            1 => Ok(Self::Refused),
            2 => Ok(Self::Broken),
            _ => Err(violation(format!(
                "a call was cancelled for the unknown reason {byte}"
            ))),
        }
    }
}

/// The beginning of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) length: u32,
    pub(crate) call: u32,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
}

impl Header {
    /// `None`: it is not there yet.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes.get(..HEADER)?);
        Some(Self {
            length: cursor.u32().ok()?,
            call: cursor.u32().ok()?,
            kind: cursor.u8().ok()?,
            flags: cursor.u8().ok()?,
        })
    }

    pub(crate) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&self.length.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.call.to_be_bytes());
        bytes[8] = self.kind;
        bytes[9] = self.flags;
        bytes
    }
}

/// What follows a header: in the buffer of what was read, or on its own where it is large.
#[derive(Debug)]
pub(crate) enum Payload<'a> {
    Here(&'a [u8]),
    Own(Bytes),
}

impl Payload<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Here(bytes) => bytes,
            Self::Own(bytes) => bytes,
        }
    }

    /// What lies behind a position, on its own: a small message must not keep a large buffer.
    fn after(self, at: usize) -> Bytes {
        match self {
            Self::Here(bytes) => Bytes::copy_from_slice(&bytes[at..]),
            Self::Own(bytes) => bytes.slice(at..),
        }
    }
}

/// A message, or its first part and how long the whole is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) bytes: Bytes,
    pub(crate) total: Option<u32>,
}

/// What a frame has of a stream's messages.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A part of a message, which goes on.
    Part(Bytes),
    /// A message, or its last part.
    Last(Bytes),
    Several(Packed),
}

/// A frame, read.
#[derive(Debug)]
pub(crate) enum Frame {
    Call {
        call: u32,
        request: Request,
        /// `None`: messages come in frames of their own.
        message: Option<Message>,
    },
    Answer {
        call: u32,
        content_type: Text,
        metadata: Metadata,
        message: Option<Message>,
    },
    Part {
        call: u32,
        bytes: Bytes,
    },
    Data {
        call: u32,
        length: u32,
        piece: Piece,
    },
    End {
        call: u32,
    },
    Error {
        call: u32,
        text: String,
    },
    Cancel {
        call: u32,
        reason: Cancel,
    },
    Window {
        call: u32,
        amount: u32,
    },
    Ping(u64),
    Pong,
    Goodbye {
        /// The last call that was looked at; the largest number: all that came and come.
        last: u32,
        reason: String,
    },
}

/// Reads frames of one direction of a connection.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// What this side takes.
    terms: Terms,
    numbers: Numbers,
}

impl Decoder {
    pub(crate) fn new(terms: Terms) -> Self {
        Self {
            terms,
            numbers: Numbers::default(),
        }
    }

    pub(crate) fn frame_size(&self) -> u32 {
        self.terms.frame_size
    }

    /// Reads a frame whose payload is there.
    pub(crate) fn decode(
        &mut self,
        header: Header,
        payload: Payload<'_>,
        now: Instant,
    ) -> Result<Frame, Violation> {
        let Header { call, flags, .. } = header;
        let mut cursor = Cursor::new(payload.bytes());
        let is_of_call = !matches!(
            header.kind,
            kind::WINDOW | kind::PING | kind::PONG | kind::GOODBYE
        );
        if is_of_call && call == 0 {
            return Err(violation("a frame of a call has no call"));
        }
        Ok(match header.kind {
            kind::CALL => {
                let request = head::read_call(flags, &mut cursor, &mut self.numbers, now)?;
                let (total, at) = self.after_head(flags, &mut cursor)?;
                let message = self.message(flags, total, at, payload)?;
                Frame::Call {
                    call,
                    request,
                    message,
                }
            }
            kind::ANSWER => {
                let (content_type, metadata) = head::read_answer(flags, &mut cursor)?;
                let (total, at) = self.after_head(flags, &mut cursor)?;
                Frame::Answer {
                    call,
                    content_type,
                    metadata,
                    message: self.message(flags, total, at, payload)?,
                }
            }
            kind::PART => Frame::Part {
                call,
                bytes: payload.after(0),
            },
            kind::DATA => Frame::Data {
                call,
                length: header.length,
                piece: self.piece(flags, payload.after(0))?,
            },
            kind::END => Frame::End { call },
            kind::ERROR => Frame::Error {
                call,
                text: String::from_utf8_lossy(payload.bytes()).into_owned(),
            },
            kind::CANCEL => Frame::Cancel {
                call,
                reason: Cancel::from_byte(cursor.u8()?)?,
            },
            kind::WINDOW => Frame::Window {
                call,
                amount: cursor.u32()?,
            },
            kind::PING => Frame::Ping(cursor.u64()?),
            kind::PONG => Frame::Pong,
            kind::GOODBYE => Frame::Goodbye {
                last: cursor.u32()?,
                reason: String::from_utf8_lossy(&payload.bytes()[cursor.position()..]).into_owned(),
            },
            other => return Err(violation(format!("a frame has the unknown kind {other}"))),
        })
    }

    fn piece(&self, flags: u8, mut bytes: Bytes) -> Result<Piece, Violation> {
        if flags & flag::SEVERAL == 0 {
            return Ok(match flags & flag::MORE {
                0 => Piece::Last(bytes),
                _ => Piece::Part(bytes),
            });
        }
        let packed = Packed::take(&mut bytes, self.terms.message_size as usize);
        match bytes.is_empty() && flags & flag::MORE == 0 {
            true => Ok(Piece::Several(packed)),
            false => Err(violation(format!(
                "packed messages are not whole, or one is larger than {}, the limit message_size",
                self.terms.message_size
            ))),
        }
    }

    fn after_head(&self, flags: u8, cursor: &mut Cursor<'_>) -> Result<(Option<u32>, usize), Violation> {
        let total = head::read_total(flags, cursor)?;
        let size = cursor.position();
        match size > self.terms.head_size as usize {
            true => Err(violation(format!(
                "a head of {size} bytes is larger than {}, the limit head_size",
                self.terms.head_size
            ))),
            false => Ok((total, size)),
        }
    }

    fn message(
        &self,
        flags: u8,
        total: Option<u32>,
        at: usize,
        payload: Payload<'_>,
    ) -> Result<Option<Message>, Violation> {
        let here = payload.bytes().len() - at;
        if flags & flag::MESSAGES != 0 {
            return match here == 0 && total.is_none() {
                true => Ok(None),
                false => Err(violation("a head of a stream has a message")),
            };
        }
        let whole = total.map_or(here, |total| total as usize);
        if whole > self.terms.message_size as usize {
            return Err(violation(format!(
                "a message of {whole} bytes is larger than {}, the limit message_size",
                self.terms.message_size
            )));
        }
        if total.is_some() && here >= whole {
            return Err(violation("a message goes on behind its end"));
        }
        Ok(Some(Message {
            bytes: payload.after(at),
            total,
        }))
    }
}

/// The text of an error as it travels.
pub(crate) fn error_text(error: &micro_core::Error) -> String {
    let text = micro_core::wire::error_text(error);
    if text.len() <= LONGEST_ERROR {
        return text;
    }
    let detail = error.detail();
    // Escaped as JSON, what was cut may be six times as long.
    for longest in [LONGEST_ERROR / 2, LONGEST_ERROR / 8, 0] {
        let mut length = longest.min(detail.len());
        while !detail.is_char_boundary(length) {
            length -= 1;
        }
        let id = if error.id().len() > LONGEST_ERROR / 8 {
            ""
        } else {
            error.id()
        };
        let cut = format!("{} …", &detail[..length]);
        let text = micro_core::Error::new(id, error.code(), cut).to_json();
        if text.len() <= LONGEST_ERROR {
            return text;
        }
    }
    String::new()
}
