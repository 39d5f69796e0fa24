//! An agent that answers what a real one would not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::recorder::is_whole;

/// What to answer to the request of this number and first line: status and index, and the body. None: nothing, ever.
pub(crate) type Answers = fn(usize, &str) -> Option<(String, String)>;

pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Fake {
    pub(crate) async fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, answers, counted.clone()));
            }
        });
        Self { address, asked, task }
    }

    /// How many requests came.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer with an index and entries.
pub(crate) fn answer(index: u64, body: &str) -> Option<(String, String)> {
    Some((format!("200 OK\r\nx-consul-index: {index}"), body.to_owned()))
}

async fn serve(mut stream: TcpStream, answers: Answers, asked: Arc<AtomicUsize>) {
    let mut request = Vec::new();
    while stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
        if !is_whole(&request) {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut request)).unwrap();
        let number = asked.fetch_add(1, Ordering::Relaxed);
        let Some((head, body)) = answers(number, text.lines().next().unwrap()) else {
            std::future::pending::<()>().await;
            return;
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n{body}");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
