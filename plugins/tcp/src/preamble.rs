//! The first words on a connection: who speaks here, which version of the frames, and what it takes.

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::config::TcpConfig;
use crate::cursor::Cursor;

/// What both sides say first. Ends as a head of HTTP does, so that a server of HTTP answers it at once.
const MAGIC: &[u8] = b"MICRO-TCP\r\n\r\n";
/// The version of the frames that this side speaks.
const VERSION: u8 = 1;
/// How long a preamble is, in bytes.
pub(crate) const LENGTH: usize = 40;
/// The smallest frame and the smallest window that a peer may state, in bytes.
const SMALLEST_FRAME: u32 = 4 * 1024;
const SMALLEST_WINDOW: u32 = 4 * 1024;
/// What a head leaves of a frame at least, in bytes.
const BESIDE_HEAD: u32 = 256;

/// What a side takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) stream_window: u32,
    pub(crate) connection_window: u32,
    pub(crate) frame_size: u32,
    pub(crate) head_size: u32,
    pub(crate) message_size: u32,
    pub(crate) calls: u32,
}

impl Terms {
    pub(crate) fn of(config: &TcpConfig) -> Self {
        let limits = &config.limits;
        let frame_size = limits.frame_size.max(SMALLEST_FRAME);
        Self {
            stream_window: config.stream_window.max(SMALLEST_WINDOW),
            connection_window: config.connection_window.max(SMALLEST_WINDOW),
            frame_size,
            head_size: limits.head_size.min(frame_size - BESIDE_HEAD),
            message_size: limits.message_size,
            calls: limits.calls.max(1),
        }
    }

    pub(crate) fn preamble(&self) -> [u8; LENGTH] {
        let mut preamble = [0; LENGTH];
        let (magic, rest) = preamble.split_at_mut(MAGIC.len());
        magic.copy_from_slice(MAGIC);
        rest[0] = VERSION;
        let numbers = [
            self.stream_window,
            self.connection_window,
            self.frame_size,
            self.head_size,
            self.message_size,
            self.calls,
        ];
        for (place, number) in rest[3..].chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        preamble
    }

    /// What follows the magic.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let mut number = || cursor.u32().ok();
        let terms = Self {
            stream_window: number()?,
            connection_window: number()?,
            frame_size: number()?,
            head_size: number()?,
            message_size: number()?,
            calls: number()?,
        };
        let is_usable = terms.stream_window >= SMALLEST_WINDOW
            && terms.connection_window >= SMALLEST_WINDOW
            && terms.frame_size >= SMALLEST_FRAME
            && terms.head_size <= terms.frame_size - BESIDE_HEAD
            && terms.calls > 0;
        is_usable.then_some(terms)
    }
}

/// Why a connection does not begin.
#[derive(Debug)]
pub(crate) enum Stranger {
    /// It ended, or broke.
    Gone(std::io::Error),
    /// Something else is spoken on it.
    Speaks(&'static str),
    Unknown(Vec<u8>),
    Version(u8),
    Terms,
}

impl std::fmt::Display for Stranger {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone(problem) => write!(formatter, "the connection ended before it began: {problem}"),
            Self::Speaks(what) => write!(formatter, "it speaks {what}, not the frames of micro-tcp"),
            Self::Unknown(bytes) => write!(
                formatter,
                "it does not speak the frames of micro-tcp: it began with {:?}",
                String::from_utf8_lossy(bytes)
            ),
            Self::Version(version) => write!(
                formatter,
                "it speaks version {version} of the frames of micro-tcp, this side version {VERSION}"
            ),
            Self::Terms => formatter.write_str("its preamble states limits that nothing fits into"),
        }
    }
}

/// Reads the other side's preamble. Sets no limit on the time.
pub(crate) async fn read(socket: &mut (impl AsyncRead + Unpin)) -> Result<Terms, Stranger> {
    let mut bytes = [0; LENGTH];
    let mut length = 0;
    while length < LENGTH {
        let count = match socket.read(&mut bytes[length..]).await {
            Ok(0) if length == 0 => return Err(Stranger::Gone(std::io::ErrorKind::UnexpectedEof.into())),
            Ok(0) => return Err(stranger(&bytes[..length])),
            Ok(count) => count,
            Err(problem) if length == 0 => return Err(Stranger::Gone(problem)),
            Err(_) => return Err(stranger(&bytes[..length])),
        };
        length += count;
        let begun = length.min(MAGIC.len());
        // Whoever speaks HTTP, HTTP/2 or TLS said by nine bytes that it does.
        if bytes[..begun] != MAGIC[..begun] && length >= 9 {
            return Err(stranger(&bytes[..length]));
        }
    }
    let rest = &bytes[MAGIC.len()..];
    match rest[0] {
        VERSION => Terms::parse(&rest[3..]).ok_or(Stranger::Terms),
        other => Err(Stranger::Version(other)),
    }
}

fn stranger(bytes: &[u8]) -> Stranger {
    const METHODS: [&[u8]; 7] = [
        b"GET ",
        b"POST ",
        b"PUT ",
        b"HEAD ",
        b"DELETE ",
        b"OPTIONS ",
        b"PATCH ",
    ];
    if bytes.starts_with(b"HTTP/1.") || METHODS.iter().any(|method| bytes.starts_with(method)) {
        Stranger::Speaks("HTTP/1.1")
    } else if bytes.starts_with(b"PRI * HTTP/2") || matches!(bytes, [0, _, _, 4, 0, 0, 0, 0, 0, ..]) {
        Stranger::Speaks("HTTP/2, as gRPC does")
    } else if matches!(bytes, [0x15 | 0x16, 3, ..]) {
        Stranger::Speaks("TLS")
    } else {
        Stranger::Unknown(bytes[..bytes.len().min(16)].to_vec())
    }
}

/// What is answered to a stranger, where there are words that it understands.
pub(crate) fn answer(stranger: &Stranger, terms: &Terms) -> Option<Vec<u8>> {
    match stranger {
        Stranger::Speaks("HTTP/1.1") => {
            let text =
                "This port speaks the frames of micro-tcp, not HTTP. Call it over the transport \"tcp\".\n";
            let head = format!(
                "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                text.len()
            );
            Some((head + text).into_bytes())
        }
        // Reads the version in it.
        Stranger::Version(_) => Some(terms.preamble().to_vec()),
        // A fatal alert: it does not handle the message that it received.
        Stranger::Speaks("TLS") => Some(vec![0x15, 3, 3, 0, 2, 2, 10]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        Terms::of(&TcpConfig::default())
    }

    #[tokio::test]
    async fn what_is_said_first_is_read_back_however_it_is_cut() {
        let said = terms().preamble();
        assert_eq!(&said[..14], b"MICRO-TCP\r\n\r\n\x01");
        for cut in 0..LENGTH {
            let mut socket = AsyncReadExt::chain(&said[..cut], &said[cut..]);
            assert_eq!(read(&mut socket).await.unwrap(), terms());
        }
    }

    #[tokio::test]
    async fn strangers_are_told_by_name() {
        let mut later = terms().preamble();
        later[13] = 2;
        let mut nothing_fits = terms().preamble();
        nothing_fits[24..28].fill(0);
        for (said, told) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], "speaks HTTP/1.1"),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "speaks HTTP/1.1"),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "speaks HTTP/2"),
            (b"\0\0\x12\x04\0\0\0\0\0\0\0", "speaks HTTP/2"),
            (b"\x16\x03\x01\x02\0\x01\0\x01\xfc", "speaks TLS"),
            (b"\x15\x03\x03\0\x02\x02\x46", "speaks TLS"),
            (b"SSH-2.0-OpenSSH_9", "SSH-2.0-OpenSSH"),
            (b"MICRO-TC", "MICRO-TC"),
            (b"", "ended before it began"),
            (&later, "version 2"),
            (&nothing_fits, "limits"),
        ] {
            let stranger = read(&mut &said[..]).await.unwrap_err();
            assert!(stranger.to_string().contains(told), "{said:?}: {stranger}");
        }
    }
}
