//! What the two ends of this crate say to each other beside Go Micro's messages: in headers of NATS, which Go Micro does
//! not look at.

use async_nats::{HeaderMap, Message};
use bytes::Bytes;

/// With the message that opens a stream, and with an empty one in answer: so many messages may be sent until more are
/// granted.
const WINDOW: &str = "Micro-Window";
/// With an empty message: so many more may be sent.
const GRANT: &str = "Micro-Grant";
/// With a message that for Go Micro ends a stream: the caller does not want to hear any more of this socket.
const CLOSE: &str = "Micro-Close";
/// With an error: why it was not the handler's.
const GOODBYE: &str = "Micro-Goodbye";

/// What a message says beside what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Window(u64),
    Grant(u64),
    Close,
    /// The call was not begun.
    Refused,
    /// The call was begun, and will not be answered.
    Cut,
}

impl Mark {
    pub(crate) fn of(message: &Message) -> Option<Self> {
        let headers = message.headers.as_ref()?;
        let number = |name: &str| headers.get(name).and_then(|value| value.as_str().parse().ok());
        if let Some(more) = number(GRANT) {
            return Some(Self::Grant(more));
        }
        if let Some(window) = number(WINDOW) {
            return Some(Self::Window(window));
        }
        if headers.get(CLOSE).is_some() {
            return Some(Self::Close);
        }
        match headers.get(GOODBYE)?.as_str() {
            "refused" => Some(Self::Refused),
            _ => Some(Self::Cut),
        }
    }

    pub(crate) fn headers(self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        match self {
            Self::Window(window) => headers.insert(WINDOW, window.to_string()),
            Self::Grant(more) => headers.insert(GRANT, more.to_string()),
            Self::Close => headers.insert(CLOSE, "1"),
            Self::Refused => headers.insert(GOODBYE, "refused"),
            Self::Cut => headers.insert(GOODBYE, "cut"),
        }
        headers
    }
}

/// The end of a stream that nobody knows, for which a listener in Go frees its socket, and ours does nothing.
pub(crate) fn farewell() -> Bytes {
    Bytes::from_static(br#"{"Header":{"Micro-Error":"EOS","Micro-Stream":"0"},"Body":null}"#)
}
