//! One connection: made within a time, closed within a time, and its thread awaited.

use std::net::Shutdown;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use amq_protocol_tcp::AsyncTcpStream;
use futures_util::stream::StreamExt;
use lapin::uri::AMQPScheme;
use lapin::{Channel, ConnectionProperties, Event};
use micro_core::Result;
use micro_core::backend::Role;
use socket2::{SockRef, Socket};
use tokio::net::lookup_host;
use tokio::time::{interval, sleep, timeout};

use crate::config::{Node, RabbitmqServer};
use crate::error::{self, RABBITMQ};

/// How long a goodbye may take before the connection is cut.
const GOODBYE: Duration = Duration::from_secs(1);
/// What a frame with headers has beside them, at most, in bytes: three short texts and some numbers.
const OTHER_PROPERTIES: usize = 1024;
/// How often a connection is looked at whose client says nothing of its end.
const LOOK: Duration = Duration::from_secs(1);

/// A connection to one node, and the thread that lapin runs it on.
///
/// [`close`](Self::close) ends both in order. Dropped instead, it says goodbye, and its thread ends with the answer.
pub struct Connection {
    lapin: Option<lapin::Connection>,
    wire: Wire,
    node: String,
    role: Role,
}

impl Connection {
    /// Connects to a node and logs in.
    pub(crate) async fn open(server: &RabbitmqServer, node: &Node, role: Role) -> Result<Self> {
        let wire = Wire::default();
        let connecting = connect(server, node, wire.clone());
        let lapin = match timeout(server.connect_timeout, connecting).await {
            Ok(Ok(lapin)) => lapin,
            Ok(Err(problem)) => return Err(error::not_connected(role, &node.name, &problem)),
            Err(_) => {
                // The client's thread would wait for the handshake without end.
                wire.cut();
                return Err(error::late(role, &node.name, server.connect_timeout));
            }
        };
        Ok(Self {
            lapin: Some(lapin),
            wire,
            node: node.name.clone(),
            role,
        })
    }

    /// Opens a channel.
    ///
    /// # Errors
    ///
    /// When the connection is lost, or has as many channels as RabbitMQ allows.
    pub async fn channel(&self) -> Result<Channel> {
        let opened = match &self.lapin {
            Some(lapin) => lapin.create_channel().await,
            None => return Err(RABBITMQ.misconfigured(self.role, "the connection is closed")),
        };
        opened.map_err(|problem| self.failed("opening a channel", &problem))
    }

    /// The error of something that did not work on this connection: "declaring the exchange micro".
    pub fn failed(&self, doing: impl std::fmt::Display, problem: &lapin::Error) -> micro_core::Error {
        error::failed(self.role, &self.node, doing, problem)
    }

    /// Whether it works, as far as is known.
    pub fn is_up(&self) -> bool {
        self.lapin
            .as_ref()
            .is_some_and(|lapin| lapin.status().connected())
    }

    /// Whether RabbitMQ takes no messages, because it is out of memory or disk space.
    pub fn is_blocked(&self) -> bool {
        self.lapin.as_ref().is_some_and(|lapin| lapin.status().blocked())
    }

    /// How many bytes the headers of a message may have together: RabbitMQ takes them in one frame, and closes the
    /// connection of whoever sends a larger one.
    pub fn longest_head(&self) -> usize {
        let frame = self
            .lapin
            .as_ref()
            .map_or(0, |lapin| lapin.configuration().frame_max());
        match usize::try_from(frame) {
            Ok(frame @ 1..) => frame.saturating_sub(OTHER_PROPERTIES),
            _ => usize::MAX,
        }
    }

    /// Where it leads: `host:port`.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Waits until it is lost, and says why. The client tells of most ends; for the others it is looked at.
    pub(crate) async fn lost(&self) -> String {
        let Some(lapin) = &self.lapin else {
            return "it is closed".to_owned();
        };
        let mut events = pin!(lapin.events_listener());
        let mut look = interval(LOOK);
        loop {
            let why = tokio::select! {
                Some(event) = events.next() => match event {
                    Event::Error(problem) => problem.to_string(),
                    _ => continue,
                },
                _ = look.tick() => "it ended without a word".to_owned(),
            };
            if !self.is_up() {
                return why;
            }
        }
    }

    /// Says goodbye, for at most a second, and waits until the thread of the connection is gone.
    pub async fn close(mut self) {
        self.end().await;
        if let Some(lapin) = self.lapin.take() {
            // It ends by joining the thread, which ends now.
            let joined = tokio::task::spawn_blocking(move || lapin.run());
            let _ = timeout(GOODBYE, joined).await;
        }
    }

    /// Says goodbye, for at most a second. The thread is not awaited.
    pub(crate) async fn end(&self) {
        if let Some(lapin) = &self.lapin {
            let closing = lapin.close(200, "OK".into());
            if timeout(GOODBYE, closing).await.is_err() {
                tracing::debug!(node = self.node, "RabbitMQ did not answer a goodbye");
            }
            self.wire.cut();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Nobody is left to cut it off, should there be no answer to the goodbye that the client says now.
        if self
            .lapin
            .as_ref()
            .is_some_and(|lapin| !lapin.status().connected())
        {
            self.wire.cut();
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = formatter.debug_struct("Connection");
        debug.field("node", &self.node).field("is_up", &self.is_up());
        debug.finish()
    }
}

/// The connection's socket, held a second time: shutting it down ends the thread, whatever it waits for.
#[derive(Clone, Default)]
struct Wire(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    socket: Option<Socket>,
    is_cut: bool,
}

impl Wire {
    fn hold(&self, socket: Socket) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_cut {
            let _ = socket.shutdown(Shutdown::Both);
        }
        held.socket = Some(socket);
    }

    fn cut(&self) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.is_cut = true;
        if let Some(socket) = held.socket.take() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

async fn connect(server: &RabbitmqServer, node: &Node, wire: Wire) -> lapin::Result<lapin::Connection> {
    let properties = ConnectionProperties::default()
        .with_connection_name(server.connection_name.as_str().into())
        .with_client_property("product".into(), "Micro".into());
    let runtime = lapin::runtime::default_runtime()?;
    let (node, limit) = (node.clone(), server.connect_timeout);
    let uri = node.uri.clone();
    let reactor = runtime.clone();
    let open = async move |_, _| {
        let connecting = async {
            let addresses: Vec<_> = lookup_host((node.host.as_str(), node.uri.authority.port))
                .await?
                .collect();
            let stream = AsyncTcpStream::connect(&reactor, addresses).await?;
            if let AsyncTcpStream::Plain(stream) = &stream {
                wire.hold(SockRef::from(stream.get_ref()).try_clone()?);
            }
            match node.uri.scheme {
                AMQPScheme::AMQP => Ok(stream),
                AMQPScheme::AMQPS => match stream.into_tls(&node.server_name, node.tls.as_ref()).await? {
                    encrypted @ AsyncTcpStream::Rustls(_) => Ok(encrypted),
                    // Built without what encrypts, it would say the password in clear.
                    _ => Err(std::io::Error::other("the client was built without TLS")),
                },
            }
        };
        match timeout(limit, connecting).await {
            Ok(connected) => connected.map_err(lapin::Error::from),
            Err(_) => Err(lapin::Error::from(std::io::Error::from(
                std::io::ErrorKind::TimedOut,
            ))),
        }
    };
    lapin::Connection::connector(uri, runtime, open, properties).await
}

/// Waits a little before connecting again: none at first, then up to half a second, so that a server that is back is
/// noticed within a second.
pub(crate) async fn pause(failures: u32) {
    let longest = match failures {
        0 => return,
        failures => 50u64 << failures.min(3),
    };
    sleep(Duration::from_millis(fastrand::u64(longest / 2..=longest))).await;
}
