//! Connections to nsqds: made known, encrypted and authorized as configured.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use micro_core::Result;
use micro_core::backend::{Role, in_one_line};
use micro_core::transport::socket::{Connector, Socket};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::config::NsqConfig;
use crate::error::{self, NSQ};
use crate::frame::{self, Frame};

/// Makes connections.
pub(crate) struct Dialer {
    plain: Connector,
    encryption: Option<Connector>,
    secret: Option<String>,
    identity: Vec<u8>,
    max_message: usize,
    connect_timeout: Duration,
}

/// What this side says of itself, and asks for.
#[derive(Serialize)]
struct Identify {
    client_id: String,
    hostname: String,
    user_agent: &'static str,
    feature_negotiation: bool,
    heartbeat_interval: u128,
    // What is ready for this side is sent at once.
    output_buffer_size: i32,
    tls_v1: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    msg_timeout: Option<u128>,
}

/// What the nsqd says to that.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Terms {
    /// How many messages may be asked for at once.
    pub(crate) max_rdy_count: usize,
    /// After how many milliseconds a message is given to another.
    pub(crate) msg_timeout: u64,
    tls_v1: bool,
    auth_required: bool,
}

/// A connection on which commands are spoken.
pub(crate) struct Connection {
    socket: Socket,
    arrived: BytesMut,
    max_message: usize,
    pub(crate) address: String,
    pub(crate) terms: Terms,
}

impl Dialer {
    /// Connects when it is asked to.
    ///
    /// # Errors
    ///
    /// When certificates or keys cannot be used.
    pub(crate) fn new(config: &NsqConfig) -> Result<Self> {
        let name = format!("micro-{}", std::process::id());
        let identity = Identify {
            client_id: name.clone(),
            hostname: name,
            user_agent: concat!("micro-nsq/", env!("CARGO_PKG_VERSION")),
            feature_negotiation: true,
            heartbeat_interval: config.heartbeat.as_millis(),
            output_buffer_size: -1,
            tls_v1: config.tls.is_some(),
            msg_timeout: config.message_timeout.map(|timeout| timeout.as_millis()),
        };
        let tls = config.tls.as_ref();
        let encryption = tls.map(|tls| NSQ.connector(Role::Broker, Some(tls), &[]));
        Ok(Self {
            plain: Connector::new(None, &[])?,
            encryption: encryption.transpose()?,
            secret: config.secret.clone(),
            identity: serde_json::to_vec(&identity).map_err(error::misconfigured)?,
            max_message: config.max_message,
            connect_timeout: config.connect_timeout,
        })
    }

    /// Connects. Cancelled, it leaves no connection behind.
    pub(crate) async fn dial(&self, address: &str) -> Result<Connection> {
        let connected = timeout(self.connect_timeout, self.connect(address)).await;
        connected.unwrap_or_else(|_| {
            let why = format_args!(
                "no connection within {:?} (`connect_timeout`)",
                self.connect_timeout
            );
            Err(error::unreachable(address, why))
        })
    }

    async fn connect(&self, address: &str) -> Result<Connection> {
        let broken = |problem: io::Error| error::unreachable(address, problem);
        let socket = self.plain.connect(address).await.map_err(broken)?;
        let mut connection = Connection {
            socket,
            arrived: BytesMut::with_capacity(16 * 1024),
            max_message: self.max_message,
            address: address.to_owned(),
            terms: Terms::default(),
        };
        let mut said = BytesMut::from(frame::MAGIC);
        frame::identify(&mut said, &self.identity);
        let answer = connection.ask(&said).await?;
        connection.terms = serde_json::from_slice(&answer).map_err(|problem| {
            error::unexpected(
                address,
                format_args!("answered IDENTIFY with {} ({problem})", in_one_line(&answer)),
            )
        })?;
        let mut connection = self.encrypted(connection).await?;
        if connection.terms.auth_required {
            let Some(secret) = &self.secret else {
                return Err(error::wants_secret(address));
            };
            let mut said = BytesMut::new();
            frame::auth(&mut said, secret);
            connection.ask(&said).await?;
        }
        Ok(connection)
    }

    /// Goes on encrypted, if both sides are to.
    async fn encrypted(&self, connection: Connection) -> Result<Connection> {
        let Some(encryption) = &self.encryption else {
            return Ok(connection);
        };
        if !connection.terms.tls_v1 {
            return Err(error::unreachable(
                &connection.address,
                "it does not offer TLS, which is configured here",
            ));
        }
        let Connection { socket, address, .. } = connection;
        let encrypted = encryption.encrypt(socket, &address).await;
        let mut connection = Connection {
            socket: encrypted
                .map_err(|problem| error::unreachable(&address, format_args!("TLS: {problem}")))?,
            address,
            ..connection
        };
        connection.confirmed().await?;
        Ok(connection)
    }
}

impl Connection {
    /// Asks one thing, and waits for the answer.
    pub(crate) async fn ask(&mut self, said: &[u8]) -> Result<Bytes> {
        self.write(said).await?;
        self.answer().await
    }

    /// Waits for the answer that all is well.
    pub(crate) async fn confirmed(&mut self) -> Result<()> {
        let answer = self.answer().await?;
        match &answer[..] == frame::OK {
            true => Ok(()),
            false => Err(error::unexpected(
                &self.address,
                format_args!("answered {} where OK is expected", in_one_line(&answer)),
            )),
        }
    }

    async fn answer(&mut self) -> Result<Bytes> {
        loop {
            match self.next().await? {
                Frame::Response(heartbeat) if &heartbeat[..] == frame::HEARTBEAT => {
                    self.write(b"NOP\n").await?
                }
                Frame::Response(answer) => return Ok(answer),
                Frame::Error(line) => return Err(error::said(&self.address, &line)),
                Frame::Message { .. } => {
                    return Err(error::unexpected(
                        &self.address,
                        "sent a message before it was asked to",
                    ));
                }
            }
        }
    }

    /// Waits for the next frame. Cancelled, nothing is lost.
    pub(crate) async fn next(&mut self) -> Result<Frame> {
        loop {
            if let Some(frame) = self.arrived()? {
                return Ok(frame);
            }
            let read = self.socket.read_buf(&mut self.arrived).await;
            match read {
                Ok(0) => return Err(error::unreachable(&self.address, "it closed the connection")),
                Ok(_) => {}
                Err(problem) => return Err(error::unreachable(&self.address, problem)),
            }
        }
    }

    /// The next frame that has arrived already.
    pub(crate) fn arrived(&mut self) -> Result<Option<Frame>> {
        frame::take(&mut self.arrived, self.max_message)
            .map_err(|problem| error::unexpected(&self.address, problem))
    }

    /// Says something. Cancelled, the connection is of no more use.
    pub(crate) async fn write(&mut self, said: &[u8]) -> Result<()> {
        let written = async {
            self.socket.write_all(said).await?;
            self.socket.flush().await
        };
        written
            .await
            .map_err(|problem| error::unreachable(&self.address, problem))
    }
}
