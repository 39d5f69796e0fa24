//! A source that asks a slow server as soon as it has answered fails by the name of the case that is about it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use micro_config::{Document, Error, ErrorKind, Format, Result, Source, async_trait};
use micro_testkit::config::{Place, SourceTraits, suite};
use micro_testkit::proxy::Proxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// A text, and a server that sends back what it gets.
struct Counter {
    text: watch::Sender<String>,
    proxy: Mutex<Proxy>,
    is_greedy: bool,
    _server: JoinSet<()>,
}

impl Counter {
    async fn new(is_greedy: bool) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Proxy::open(listener.local_addr()?).await?;
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                });
            }
        });
        Ok(Self {
            text: watch::Sender::new(String::new()),
            proxy: Mutex::new(proxy),
            is_greedy,
            _server: server,
        })
    }
}

#[async_trait]
impl Place for Counter {
    async fn source(&self) -> Result<Box<dyn Source>> {
        Ok(Box::new(Asking {
            text: self.text.subscribe(),
            address: self.proxy.lock().await.address(),
            stream: None,
            is_greedy: self.is_greedy,
        }))
    }

    async fn put(&self, text: &str) -> Result<()> {
        self.text.send_replace(text.to_owned());
        Ok(())
    }

    async fn remove(&self) -> Result<()> {
        Err(Error::new(ErrorKind::Misused, "it is never missing"))
    }

    fn proxy(&self) -> Option<&Mutex<Proxy>> {
        Some(&self.proxy)
    }
}

struct Asking {
    text: watch::Receiver<String>,
    address: SocketAddr,
    stream: Option<TcpStream>,
    is_greedy: bool,
}

impl Asking {
    async fn ask(&mut self) -> io::Result<()> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => TcpStream::connect(self.address).await?,
        };
        stream.write_all(b"?").await?;
        stream.read_exact(&mut [0]).await?;
        self.stream = Some(stream);
        Ok(())
    }
}

impl fmt::Display for Asking {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("asking")
    }
}

fn away(problem: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, problem)
}

#[async_trait]
impl Source for Asking {
    async fn read(&mut self) -> Result<Vec<Document>> {
        self.ask().await.map_err(away)?;
        let text = self.text.borrow_and_update().clone();
        Ok(vec![Document::text("asking", Format::Json, text)])
    }

    async fn changed(&mut self) -> Result<()> {
        while self.is_greedy && !self.text.has_changed().unwrap_or(true) {
            sleep(Duration::from_millis(1)).await;
            self.ask().await.map_err(away)?;
        }
        let _ = self.text.changed().await;
        Ok(())
    }
}

#[tokio::test]
async fn who_asks_a_slow_server_without_end_fails() {
    let case = "a_slow_server_is_not_asked_without_end";
    for is_greedy in [false, true] {
        let make = move || Counter::new(is_greedy);
        let report = suite().only(&[case]).run(make, SourceTraits::default()).await;
        assert_eq!(report.has_failed(case), is_greedy, "{report}");
        assert_eq!(report.is_good(), !is_greedy, "{report}");
    }
}
