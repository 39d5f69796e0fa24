//! A TCP proxy on the loopback interface that makes the trouble which networks make.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 128;

/// A proxy before a server, on a loopback port of its own. Dropping it ends all connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    server: SocketAddr,
    /// Connections with a lower number carry nothing.
    silent_below: watch::Sender<usize>,
    counts: Arc<Counts>,
    is_carrying: bool,
    task: Option<JoinHandle<()>>,
    /// Bound and not listening, so that nobody else gets the port while it refuses connections.
    _reserved: TcpSocket,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicUsize,
    open: AtomicUsize,
    sent: AtomicUsize,
    /// How many milliseconds what the server sends is kept back.
    slow: AtomicU64,
}

impl Proxy {
    /// Carries connections to a server from now on.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub async fn open(server: SocketAddr) -> io::Result<Self> {
        let reserved = socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let mut proxy = Self {
            address: reserved.local_addr()?,
            server,
            silent_below: watch::Sender::new(0),
            counts: Arc::default(),
            is_carrying: false,
            task: None,
            _reserved: reserved,
        };
        proxy.mend().await?;
        Ok(proxy)
    }

    /// Where it is to be connected to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted, also those that it hung up on.
    pub fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::Relaxed)
    }

    /// How many pieces clients have sent. Each is one that they wrote at once: mostly a request.
    pub fn sent(&self) -> usize {
        self.counts.sent.load(Ordering::Relaxed)
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.counts.open.load(Ordering::Relaxed)
    }

    /// Ends all connections and refuses new ones, as a server does that is not running.
    pub async fn cut(&mut self) {
        self.is_carrying = false;
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Ends all connections, and new ones as soon as they are accepted.
    ///
    /// # Errors
    ///
    /// When the port cannot be listened at.
    pub async fn hang_up(&mut self) -> io::Result<()> {
        self.cut().await;
        let listener = socket(self.address)?.listen(BACKLOG)?;
        let counts = self.counts.clone();
        self.task = Some(tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counts.accepted.fetch_add(1, Ordering::Relaxed);
            }
        }));
        Ok(())
    }

    /// Carries nothing more. Connections stay open, and new ones are accepted and silent too.
    pub fn silence(&self) {
        self.silent_below.send_replace(usize::MAX);
    }

    /// Carries nothing more for the connections that are open now, as a router does that forgot them. New ones work.
    pub fn forget(&self) {
        self.silent_below.send_replace(self.accepted());
    }

    /// Keeps back each piece that the server sends for so long, one after the other. The clients' are carried at once.
    pub fn slow(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.counts.slow.store(delay, Ordering::Relaxed);
    }

    /// Works again, after any of the above. What was silent goes on, with all that was kept back.
    ///
    /// # Errors
    ///
    /// When the port cannot be listened at.
    pub async fn mend(&mut self) -> io::Result<()> {
        self.silent_below.send_replace(0);
        self.counts.slow.store(0, Ordering::Relaxed);
        if self.is_carrying {
            return Ok(());
        }
        self.cut().await;
        let listener = socket(self.address)?.listen(BACKLOG)?;
        let (server, counts) = (self.server, self.counts.clone());
        let silent_below = self.silent_below.subscribe();
        self.is_carrying = true;
        self.task = Some(tokio::spawn(carry_all(listener, server, counts, silent_below)));
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn carry_all(
    listener: TcpListener,
    server: SocketAddr,
    counts: Arc<Counts>,
    silent_below: watch::Receiver<usize>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let number = counts.accepted.fetch_add(1, Ordering::Relaxed);
                let open = Open::new(counts.clone());
                let silent_below = silent_below.clone();
                connections.spawn(async move {
                    // Whoever is at its ends sees that it ended.
                    let _ = carry(stream, server, number, silent_below, &open.0).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Counts as an open connection while it lives.
struct Open(Arc<Counts>);

impl Open {
    fn new(counts: Arc<Counts>) -> Self {
        counts.open.fetch_add(1, Ordering::Relaxed);
        Self(counts)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn carry(
    mut near: TcpStream,
    server: SocketAddr,
    number: usize,
    mut silent_below: watch::Receiver<usize>,
    counts: &Counts,
) -> io::Result<()> {
    while_silent(&mut silent_below, number).await;
    let mut far = TcpStream::connect(server).await?;
    let (near_reader, near_writer) = near.split();
    let (far_reader, far_writer) = far.split();
    tokio::try_join!(
        one_way(
            near_reader,
            far_writer,
            number,
            silent_below.clone(),
            Some(&counts.sent),
            None
        ),
        one_way(
            far_reader,
            near_writer,
            number,
            silent_below,
            None,
            Some(&counts.slow)
        ),
    )?;
    Ok(())
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    number: usize,
    mut silent_below: watch::Receiver<usize>,
    count: Option<&AtomicUsize>,
    slow: Option<&AtomicU64>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        while_silent(&mut silent_below, number).await;
        if read == 0 {
            return to.shutdown().await;
        }
        if let Some(count) = count {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let delay = slow.map_or(0, |slow| slow.load(Ordering::Relaxed));
        if delay > 0 {
            sleep(Duration::from_millis(delay)).await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}

async fn while_silent(silent_below: &mut watch::Receiver<usize>, number: usize) {
    // An Err: the proxy is gone, and this task is about to be.
    let _ = silent_below.wait_for(|below| number >= *below).await;
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Sends back what it gets.
    async fn echo() -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    tokio::io::copy(&mut reader, &mut writer).await
                });
            }
        });
        (address, task)
    }

    async fn says(stream: &mut TcpStream) -> bool {
        let mut answer = [0; 1];
        let said = async {
            stream.write_all(b"x").await?;
            stream.read_exact(&mut answer).await
        };
        timeout(PATIENCE, said).await.unwrap().is_ok()
    }

    #[tokio::test]
    async fn it_carries_cuts_refuses_and_carries_again() {
        let (server, task) = echo().await;
        let mut proxy = Proxy::open(server).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(says(&mut stream).await);
        assert_eq!((proxy.accepted(), proxy.connections(), proxy.sent()), (1, 1, 1));
        proxy.cut().await;
        assert!(!says(&mut stream).await);
        assert!(TcpStream::connect(proxy.address()).await.is_err());
        proxy.mend().await.unwrap();
        assert!(says(&mut TcpStream::connect(proxy.address()).await.unwrap()).await);
        task.abort();
    }

    #[tokio::test]
    async fn it_hangs_up_and_counts() {
        let (server, task) = echo().await;
        let mut proxy = Proxy::open(server).await.unwrap();
        proxy.hang_up().await.unwrap();
        for _ in 0..3 {
            assert!(!says(&mut TcpStream::connect(proxy.address()).await.unwrap()).await);
        }
        assert_eq!(proxy.accepted(), 3);
        proxy.mend().await.unwrap();
        assert!(says(&mut TcpStream::connect(proxy.address()).await.unwrap()).await);
        task.abort();
    }

    #[tokio::test]
    async fn it_is_slow_until_it_is_mended() {
        let (server, task) = echo().await;
        let mut proxy = Proxy::open(server).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        proxy.slow(Duration::from_millis(200));
        let began = Instant::now();
        assert!(says(&mut stream).await);
        assert!(began.elapsed() >= Duration::from_millis(200));
        proxy.slow(Duration::from_secs(3600));
        proxy.mend().await.unwrap();
        assert!(says(&mut stream).await);
        task.abort();
    }

    #[tokio::test]
    async fn it_keeps_back_what_is_said_in_silence() {
        let (server, task) = echo().await;
        let mut proxy = Proxy::open(server).await.unwrap();
        let mut old = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(says(&mut old).await);
        proxy.forget();
        assert!(says(&mut TcpStream::connect(proxy.address()).await.unwrap()).await);
        old.write_all(b"y").await.unwrap();
        let mut answer = [0; 1];
        let early = timeout(Duration::from_millis(50), old.read_exact(&mut answer)).await;
        assert!(early.is_err(), "the old connection is silent");
        proxy.silence();
        let mut new = TcpStream::connect(proxy.address()).await.unwrap();
        new.write_all(b"z").await.unwrap();
        proxy.mend().await.unwrap();
        for stream in [&mut old, &mut new] {
            timeout(PATIENCE, stream.read_exact(&mut answer))
                .await
                .unwrap()
                .unwrap();
        }
        task.abort();
    }
}
