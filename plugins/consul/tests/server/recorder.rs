//! Between a registry and Consul, to see what is said.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    said: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Recorder {
    pub(crate) async fn open(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(carry(listener, to, said.clone()));
        Self { address, said, task }
    }

    /// The requests since the last time, as first line and body.
    pub(crate) fn take(&self) -> Vec<(String, String)> {
        let said = std::mem::take(&mut *self.said.lock().unwrap());
        let requests = said.iter().map(|request| {
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1");
            (line.to_owned(), body.to_owned())
        });
        requests.collect()
    }

    /// Just the first lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.take().into_iter().map(|request| request.0).collect()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(listener: TcpListener, to: SocketAddr, said: Arc<Mutex<Vec<String>>>) {
    let mut connections = JoinSet::new();
    while let Ok((from, _)) = listener.accept().await {
        let said = said.clone();
        connections.spawn(async move {
            let (mut from, mut back) = from.into_split();
            let (mut answers, mut to) = TcpStream::connect(to).await.unwrap().into_split();
            let asking = async {
                let mut request = Vec::new();
                while from.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
                    if is_whole(&request) {
                        to.write_all(&request).await.unwrap();
                        said.lock()
                            .unwrap()
                            .push(String::from_utf8(std::mem::take(&mut request)).unwrap());
                    }
                }
            };
            tokio::select! {
                () = asking => {}
                _ = copy(&mut answers, &mut back) => {}
            }
        });
    }
}

/// Whether a request has come with its whole body. A client sends one at a time.
pub(crate) fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| body.len() >= length.trim().parse().unwrap())
}
