//! The same bytes at once and in pieces: both must be understood alike.

use std::pin::Pin;
use std::task::{Context, Poll};

use micro_core::transport::http::HttpLimits;
use micro_core::transport::http::probe;
use tokio::io::{AsyncRead, ReadBuf};

struct Pieces<'a> {
    bytes: &'a [u8],
    size: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let size = self.size.min(self.bytes.len()).min(buffer.remaining());
        let (piece, rest) = self.bytes.split_at(size);
        buffer.put_slice(piece);
        self.bytes = rest;
        Poll::Ready(Ok(()))
    }
}

pub fn compare(bytes: &[u8], requests: bool) {
    let limits = HttpLimits {
        head_size: 4096,
        message_size: 1 << 20,
        ..HttpLimits::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let read = |size| probe::read(Pieces { bytes, size }, requests, &limits);
        let whole = read(usize::MAX).await;
        for size in [1, 7] {
            assert_eq!(read(size).await.0, whole.0, "in pieces of {size}");
        }
    });
}
