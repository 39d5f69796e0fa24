//! How the transport works, and what callers may ask of it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use micro_core::debug::Diagnostics;
use micro_core::transport::http::{Route, Tls};

/// How the gRPC transport works.
#[derive(Clone)]
pub struct GrpcConfig {
    /// How long to connect to a node, TLS included. Default: 5 s.
    pub connect_timeout: Duration,
    /// How many connections to each node there may be. Calls share them; another one is opened when those that are
    /// open have [`calls_per_connection`](Self::calls_per_connection) to carry. Default: 4.
    pub connections: usize,
    /// How many calls at once a connection carries before another one is opened. Default: 8.
    pub calls_per_connection: usize,
    /// How long a connection without calls is kept. Shorter than the listener's
    /// [`idle_timeout`](GrpcLimits::idle_timeout), so that it is the caller who closes. Default: 4 min.
    pub idle_timeout: Duration,
    /// When a caller asks whether a node that has calls to answer is still there. Go's servers close connections that
    /// ask more often than every 5 minutes; the connection's own keep-alive is there besides. Default: 5 min, 20 s.
    pub keep_alive: KeepAlive,
    /// How many bytes of a call's messages the other side may send ahead of the reader, in bytes. Default: 1 MiB.
    pub stream_window: u32,
    /// The same for all calls of a connection together, in bytes. Default: 8 MiB.
    pub connection_window: u32,
    /// Whether messages are compressed, where the other side said that it reads it: callers say so in each call, nodes
    /// in their answers, so the first call on a connection is not compressed; see [`assume_gzip`](Self::assume_gzip).
    /// What others compressed is read whatever is chosen here. Default: none.
    pub compression: Compression,
    /// Takes it for granted that nodes read gzip: with [`compression`](Self::compression), all calls are compressed. Many
    /// servers read it and never say so; those that do not read it fail the call. Default: false.
    pub assume_gzip: bool,
    /// The web sites whose pages may call a listener from a browser. Default: none.
    pub origins: Origins,
    /// Endpoints, such as `Greeter.Hello`, that Connect's callers may call by GET, besides those that the descriptors of
    /// [`diagnostics`](Self::diagnostics) mark with the option `idempotency_level = NO_SIDE_EFFECTS`. Caches keep the
    /// answers of such calls, and browsers repeat them. Default: none.
    pub get_calls: Vec<String>,
    /// The service that is served, as it knows itself: a listener answers `grpc.health.v1.Health` and gRPC's
    /// reflection from it. Give the same to the service's builder. Default: none, and neither is answered.
    pub diagnostics: Option<Diagnostics>,
    /// What else is served on a listener's port, over both versions of HTTP: path prefixes, such as `/health`, and what
    /// answers them. Not `/`, where calls are served: listening fails then. Default: none.
    pub routes: Vec<(String, Arc<dyn Route>)>,
    /// What peers may ask.
    pub limits: GrpcLimits,
    /// Encryption, of both ends. Default: none.
    pub tls: Option<Tls>,
    /// Files from which the certificate and key of [`tls`](Self::tls) are read, and read again when they change; new
    /// connections use what is in them. Default: none, `tls` says all.
    pub identity_files: Option<IdentityFiles>,
    /// Files from which the authorities of [`tls`](Self::tls) are read, and read again when they change, likewise.
    /// Default: none, `tls` says all.
    pub authority_files: Option<AuthorityFiles>,
}

/// Where this side's certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The certificate, then those that lead to its authority (PEM).
    pub certificates: PathBuf,
    /// The key, unencrypted (PEM).
    pub key: PathBuf,
    /// How often it is looked whether the files were written anew, at most; only while connections are made.
    /// `Duration::ZERO`: for each connection.
    pub reload_interval: Duration,
}

/// Where the certificates of authorities are. A file that is not named leaves to [`Tls`] what it is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthorityFiles {
    /// Those whose servers are believed when dialling (PEM), for [`Tls::authorities`].
    pub servers: Option<PathBuf>,
    /// Those of which callers must show a certificate (PEM), for
    /// [`ClientCertificates::Required`](micro_core::transport::http::ClientCertificates::Required).
    pub callers: Option<PathBuf>,
    /// How often it is looked whether the files were written anew, at most; only while connections are made.
    /// `Duration::ZERO`, the default: for each connection.
    pub reload_interval: Duration,
}

/// Web sites, as browsers name them in `Origin`: pages of others cannot call. Browsers alone keep to it; it protects
/// their users, and no service from its callers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origins {
    /// No site but the listener's own.
    #[default]
    None,
    /// Every site, which is right where a call can do no more than anybody's, wherever it comes from.
    Any,
    /// These, each with scheme, host and port as it is in `Origin`: `https://shop.example`, `http://localhost:3000`.
    Listed(Vec<String>),
}

/// Whether messages are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// They are sent as they are.
    #[default]
    None,
    /// Those of so many bytes and more are compressed with gzip.
    Gzip {
        /// The size of the smallest message that is compressed, in bytes.
        from: usize,
    },
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
pub struct GrpcLimits {
    /// Bytes of a call's headers, or of its trailers. Default: 64 KiB.
    pub head_size: u32,
    /// Bytes of one message, uncompressed. Default: 16 MiB.
    pub message_size: usize,
    /// Connections that a listener serves at once; more wait to be accepted. Default: 16,384.
    pub connections: usize,
    /// Calls at once on one connection; more wait at the caller. Default: 1,024.
    pub streams: u32,
    /// From accepting a connection to the end of its handshakes. Default: 5 s.
    pub handshake_timeout: Duration,
    /// From the first byte of a call's first message to its last. Default: 60 s.
    pub message_timeout: Duration,
    /// How long the one message of an answer may take to leave, without which the call is given up. Counts not for
    /// streams over HTTP/2, whose readers may be as slow as they like; over HTTP/1.1 a reader may take nothing of a stream
    /// for as long, or loses the connection. Default: 60 s.
    pub write_timeout: Duration,
    /// How long a connection may be without calls; then it is told to go elsewhere. Default: 5 min.
    pub idle_timeout: Duration,
    /// How old a connection may become before its caller is told to open another one, give or take a tenth, drawn for
    /// each so that they do not all go together. It is for balancers that have new nodes behind them.
    /// Default: 30 min; `None`: as old as it likes.
    pub max_age: Option<Duration>,
    /// How long the calls of a connection that became too old may go on. Default: `None`, until they end.
    pub max_age_grace: Option<Duration>,
    /// When a listener asks whether a silent caller is still there. Default: 1 min, 20 s.
    pub keep_alive: KeepAlive,
}

impl fmt::Debug for GrpcConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes: Vec<&String> = self.routes.iter().map(|(prefix, _)| prefix).collect();
        formatter
            .debug_struct("GrpcConfig")
            .field("connect_timeout", &self.connect_timeout)
            .field("connections", &self.connections)
            .field("calls_per_connection", &self.calls_per_connection)
            .field("idle_timeout", &self.idle_timeout)
            .field("keep_alive", &self.keep_alive)
            .field("stream_window", &self.stream_window)
            .field("connection_window", &self.connection_window)
            .field("compression", &self.compression)
            .field("origins", &self.origins)
            .field("get_calls", &self.get_calls)
            .field("routes", &routes)
            .field("limits", &self.limits)
            .field("tls", &self.tls)
            .field("identity_files", &self.identity_files)
            .field("authority_files", &self.authority_files)
            .finish_non_exhaustive()
    }
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            connections: 4,
            calls_per_connection: 8,
            idle_timeout: Duration::from_secs(4 * 60),
            keep_alive: KeepAlive {
                interval: Duration::from_secs(5 * 60),
                timeout: Duration::from_secs(20),
            },
            stream_window: 1024 * 1024,
            connection_window: 8 * 1024 * 1024,
            compression: Compression::None,
            assume_gzip: false,
            origins: Origins::None,
            get_calls: Vec::new(),
            diagnostics: None,
            routes: Vec::new(),
            limits: GrpcLimits::default(),
            tls: None,
            identity_files: None,
            authority_files: None,
        }
    }
}

impl Default for GrpcLimits {
    fn default() -> Self {
        Self {
            head_size: 64 * 1024,
            message_size: 16 * 1024 * 1024,
            connections: 16 * 1024,
            streams: 1024,
            handshake_timeout: Duration::from_secs(5),
            message_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(5 * 60),
            max_age: Some(Duration::from_secs(30 * 60)),
            max_age_grace: None,
            keep_alive: KeepAlive {
                interval: Duration::from_secs(60),
                timeout: Duration::from_secs(20),
            },
        }
    }
}

/// The largest frame that this side takes, in bytes: most messages come in one, which is used where it was read.
pub(crate) const FRAME_SIZE: u32 = 128 * 1024;
/// The largest window that HTTP/2 knows, in bytes.
const LARGEST_WINDOW: u32 = (1 << 31) - 1;
/// How much of memory unread small frames may take beside what the window counts, as a multiple of it.
const FRAME_BUDGET: usize = 8;

impl GrpcConfig {
    pub(crate) fn stream_window(&self) -> u32 {
        self.stream_window.clamp(1024, LARGEST_WINDOW)
    }

    pub(crate) fn connection_window(&self) -> u32 {
        self.connection_window.clamp(64 * 1024, LARGEST_WINDOW)
    }

    /// What the frames of unread messages may take beside their bytes: a slow reader of many small messages must be
    /// slowed by its window, not cut off.
    pub(crate) fn frame_budget(&self) -> usize {
        FRAME_BUDGET * self.connection_window() as usize
    }
}
