//! A small HTTP server with one document, for the tests of the source that asks for it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A server with one document.
pub(crate) struct DocumentServer {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

/// What it has, and what it saw.
#[derive(Default)]
pub(crate) struct State {
    /// None: 404.
    pub(crate) text: Option<String>,
    /// An answer in the place of the document: a status with headers.
    pub(crate) instead: Option<String>,
    /// The heads of the requests.
    pub(crate) requests: Vec<String>,
    /// How many answers were that it is the same.
    pub(crate) same: usize,
}

impl DocumentServer {
    pub(crate) async fn start() -> std::io::Result<Self> {
        Self::start_with(None).await
    }

    /// One that encrypts, where this is given.
    pub(crate) async fn start_with(acceptor: Option<TlsAcceptor>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, acceptor, Arc::clone(&state)));
        Ok(Self {
            address,
            state,
            _tasks: tasks,
        })
    }
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
                    connections.spawn(async move {
                        match acceptor {
                            None => serve(stream, state).await,
                            Some(acceptor) => {
                                if let Ok(stream) = acceptor.accept(stream).await {
                                    serve(stream, state).await;
                                }
                            }
                        }
                    });
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite, state: Arc<Mutex<State>>) {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut lines = BufReader::new(reader).lines();
    let mut head = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if !line.is_empty() {
            head.push_str(&line);
            head.push('\n');
            continue;
        }
        let answer = state.lock().unwrap().answer(std::mem::take(&mut head));
        if writer.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

impl State {
    fn answer(&mut self, request: String) -> String {
        let known = request
            .lines()
            .find_map(|line| line.strip_prefix("if-none-match: "))
            .map(str::to_owned);
        self.requests.push(request);
        if let Some(instead) = &self.instead {
            return format!("HTTP/1.1 {instead}\r\ncontent-length: 0\r\n\r\n");
        }
        let Some(text) = &self.text else {
            return "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned();
        };
        let sum = text
            .bytes()
            .fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let tag = format!("\"{sum:x}\"");
        if known.as_deref() == Some(tag.as_str()) {
            self.same += 1;
            return format!("HTTP/1.1 304 Not Modified\r\netag: {tag}\r\n\r\n");
        }
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\netag: {tag}\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        )
    }
}
