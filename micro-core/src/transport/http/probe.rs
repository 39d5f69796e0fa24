//! What the framing makes of bytes. For fuzzers and comparisons with other readers; no part of the API.

use bytes::Bytes;
use tokio::io::AsyncRead;

use super::HttpLimits;
use super::connection::{ReadBuffer, ReadError, Side};

/// A message as it was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The status of a response; 0 of a request.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Reads messages until the connection or its input ends, or something is refused: with which code.
pub async fn read(
    mut io: impl AsyncRead + Unpin,
    requests: bool,
    limits: &HttpLimits,
) -> (Vec<Seen>, Option<i32>) {
    let side = if requests { Side::Requests } else { Side::Responses };
    let mut input = ReadBuffer::default();
    let mut seen = Vec::new();
    loop {
        match input.message(side, &mut io, limits).await {
            Ok(Some(message)) => {
                seen.push(Seen {
                    status: message.status(),
                    body: message.body.clone(),
                });
                if !message.head.keep_alive {
                    return (seen, None);
                }
            }
            Ok(None) | Err(ReadError::Io(_) | ReadError::Cut) => return (seen, None),
            Err(ReadError::Bad(bad)) => return (seen, Some(bad.code)),
        }
    }
}
