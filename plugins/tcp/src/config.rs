//! How the transport works, and what peers may ask of it.

use std::time::Duration;

use micro_core::transport::http::Tls;

/// How the TCP transport works.
#[derive(Debug, Clone)]
pub struct TcpConfig {
    /// How long to connect to a node, TLS and the first words included. Default: 5 s.
    pub connect_timeout: Duration,
    /// How many connections to each node there may be for calls, which share them. Another one is opened when those
    /// that are open have [`calls_per_connection`](Self::calls_per_connection) to carry. Default: 2.
    pub connections: usize,
    /// How many calls at once a connection carries before another one is opened. Default: 512.
    pub calls_per_connection: usize,
    /// From which size on, in bytes, a request of one message goes on a connection where no other call is, so that
    /// neither waits for the other. Default: 32 KiB.
    pub large_from: usize,
    /// How many connections to each node there may be for such requests. Where all of them are busy, they are shared.
    /// Default: 64.
    pub large_connections: usize,
    /// How long a connection without calls is kept. Shorter than the listener's
    /// [`idle_timeout`](TcpLimits::idle_timeout), so that it is the caller who closes. Default: 4 min.
    pub idle_timeout: Duration,
    /// When a caller asks whether a node that has calls to answer is still there. Default: 15 s, 10 s.
    pub keep_alive: KeepAlive,
    /// How many bytes of a stream's messages the other side may send ahead of the reader. Each frame counts 32 bytes
    /// more than its messages. At least 4 KiB. Default: 1 MiB.
    pub stream_window: u32,
    /// The same for all streams of a connection together, in bytes. At least 4 KiB. Default: 8 MiB.
    pub connection_window: u32,
    /// What peers may ask.
    pub limits: TcpLimits,
    /// Encryption, of both ends. Default: none.
    pub tls: Option<Tls>,
}

/// How a silent peer is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// How long a peer is silent before it is asked whether it is still there.
    pub interval: Duration,
    /// How long it may take to answer; then the connection is closed.
    pub timeout: Duration,
}

/// Limits on what a peer may send or hold. Each error that they cause names its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpLimits {
    /// Bytes of one frame. Larger messages come in several. At least 4 KiB. Default: 1 MiB.
    pub frame_size: u32,
    /// Bytes of a call's or an answer's head: names, content type and metadata. Less than a frame. Default: 64 KiB.
    pub head_size: u32,
    /// Bytes of one message. Default: 16 MiB.
    pub message_size: u32,
    /// Connections that a listener serves at once; more wait to be accepted. Default: 16,384.
    pub connections: usize,
    /// Calls at once on one connection; more wait at the caller. Default: 1,024.
    pub calls: u32,
    /// Bytes of requests that have not wholly arrived, on one connection; what would be more is refused, as not looked
    /// at. Default: 64 MiB.
    pub unfinished: usize,
    /// From accepting a connection to the end of its first words, TLS included. Default: 5 s.
    pub handshake_timeout: Duration,
    /// From the first byte of a request of one message to its last, roughly. Default: 60 s.
    pub message_timeout: Duration,
    /// How long a peer may take nothing of what is sent to it; then the connection is closed. Default: 60 s.
    pub write_timeout: Duration,
    /// How long a connection may be without calls; then its caller is told to go elsewhere. Default: 5 min.
    pub idle_timeout: Duration,
    /// How old a connection may become before its caller is told to open another one, give or take a tenth, drawn for
    /// each so that they do not all go together. It is for balancers that have new nodes behind them.
    /// Default: 30 min; `None`: as old as it likes.
    pub max_age: Option<Duration>,
    /// When a listener asks whether a silent caller is still there. Default: 1 min, 20 s.
    pub keep_alive: KeepAlive,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            connections: 2,
            calls_per_connection: 512,
            large_from: 32 * 1024,
            large_connections: 64,
            idle_timeout: Duration::from_secs(4 * 60),
            keep_alive: KeepAlive {
                interval: Duration::from_secs(15),
                timeout: Duration::from_secs(10),
            },
            stream_window: 1024 * 1024,
            connection_window: 8 * 1024 * 1024,
            limits: TcpLimits::default(),
            tls: None,
        }
    }
}

impl Default for TcpLimits {
    fn default() -> Self {
        Self {
            frame_size: 1024 * 1024,
            head_size: 64 * 1024,
            message_size: 16 * 1024 * 1024,
            connections: 16 * 1024,
            calls: 1024,
            unfinished: 64 * 1024 * 1024,
            handshake_timeout: Duration::from_secs(5),
            message_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(5 * 60),
            max_age: Some(Duration::from_secs(30 * 60)),
            keep_alive: KeepAlive {
                interval: Duration::from_secs(60),
                timeout: Duration::from_secs(20),
            },
        }
    }
}

/// The longest time that is added to an instant, which would overflow on one without end.
pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
