//! Somebody at the address of an nsqd.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What an nsqd says to IDENTIFY.
pub(crate) const TERMS: &str = r#"{"max_rdy_count":2500,"version":"1.3.0","max_msg_timeout":900000,"msg_timeout":60000,"tls_v1":false,"deflate":false,"snappy":false,"auth_required":false}"#;

pub(crate) fn frame(kind: u32, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len() + 4).unwrap();
    [&length.to_be_bytes()[..], &kind.to_be_bytes(), data].concat()
}

/// Speaks with whoever connects, one after the other, as it is told.
pub(crate) async fn speak<F, Fut>(mut speaker: F) -> (SocketAddr, JoinHandle<()>)
where
    F: FnMut(Peer) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            speaker(Peer(stream)).await;
        }
    });
    (address, task)
}

pub(crate) struct Peer(TcpStream);

impl Peer {
    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Waits for just these bytes.
    pub(crate) async fn expect(&mut self, bytes: &[u8]) {
        let mut found = vec![0; bytes.len()];
        self.0.read_exact(&mut found).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(bytes));
    }

    /// Waits for the introduction, and says the terms. Returns what was said.
    pub(crate) async fn meet(&mut self, terms: &[u8]) -> String {
        self.expect(b"  V2IDENTIFY\n").await;
        let size = self.0.read_u32().await.unwrap();
        let mut json = vec![0; size as usize];
        self.0.read_exact(&mut json).await.unwrap();
        self.say(&frame(0, terms)).await;
        String::from_utf8(json).unwrap()
    }

    /// Waits until the other side hangs up. Returns what it said before.
    pub(crate) async fn until_gone(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest).await;
        String::from_utf8_lossy(&rest).into_owned()
    }
}
