//! Connecting: one server after the other, and the session goes on at the next one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use micro_core::transport::socket::{Connector, Socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::config::Server;
use crate::error::Trouble;
use crate::jute::{BadFrame, Writer, take_frame};
use crate::requests::Hello;

/// A connection over which a session is open.
pub(crate) struct Dialled {
    pub(crate) server: Arc<str>,
    pub(crate) stream: Socket,
    /// What was received beyond the greeting.
    pub(crate) received: BytesMut,
    pub(crate) session: i64,
    /// What the server allows for.
    pub(crate) timeout: Duration,
}

/// Connects to one of the servers, with the session that there is.
pub(crate) struct Dialler {
    servers: Vec<Server>,
    current: usize,
    connector: Connector,
    connect_timeout: Duration,
    hello: Hello,
}

/// No answer to a greeting is longer.
const LONGEST_GREETING: usize = 1024;

impl Dialler {
    pub(crate) fn new(
        servers: Vec<Server>,
        connector: Connector,
        connect_timeout: Duration,
        session_timeout: Duration,
    ) -> Self {
        Self {
            // So that the clients of an ensemble spread over it.
            current: fastrand::usize(..servers.len()),
            servers,
            connector,
            connect_timeout,
            hello: Hello {
                timeout: i32::try_from(session_timeout.as_millis()).unwrap_or(i32::MAX),
                session: 0,
                password: vec![0; 16],
            },
        }
    }

    /// Tries each server once.
    pub(crate) async fn dial(&mut self) -> Result<Dialled, Trouble> {
        let mut problems = Vec::new();
        for _ in 0..self.servers.len() {
            let server = self.servers[self.current].clone();
            let problem = match timeout(self.connect_timeout, self.greet(&server)).await {
                Ok(Ok(dialled)) => return Ok(dialled),
                Ok(Err(problem)) => problem.to_string(),
                Err(_) => format!("no answer within {:?}", self.connect_timeout),
            };
            problems.push(format!("{server}: {problem}"));
            self.leave();
        }
        Err(Trouble::Away {
            why: format!("no server can be reached: {}", problems.join(", ")).into(),
        })
    }

    /// Begins with the next server from now on.
    pub(crate) fn leave(&mut self) {
        self.current = (self.current + 1) % self.servers.len();
    }

    async fn greet(&mut self, server: &Server) -> io::Result<Dialled> {
        let dialled = self.open(server).await?;
        if dialled.timeout > Duration::ZERO {
            return Ok(dialled);
        }
        tracing::debug!("zookeeper at {server}: the session is over; a new one is begun");
        self.hello.session = 0;
        self.hello.password = vec![0; 16];
        let dialled = self.open(server).await?;
        match dialled.timeout > Duration::ZERO {
            true => Ok(dialled),
            false => Err(io::Error::other("it gives no session")),
        }
    }

    async fn open(&mut self, server: &Server) -> io::Result<Dialled> {
        let mut stream = self.connector.connect(&server.to_string()).await?;
        let hello = Writer::default().bytes(&self.hello.write()).finish();
        stream.write_all(&hello).await?;
        stream.flush().await?;
        let mut received = BytesMut::with_capacity(64);
        let answer = loop {
            match take_frame(&mut received, LONGEST_GREETING) {
                Ok(Some(answer)) => break answer,
                Ok(None) if stream.read_buf(&mut received).await? > 0 => {}
                Ok(None) => {
                    return Err(io::Error::other(
                        "it hung up; does it serve, and does it speak TLS?",
                    ));
                }
                Err(BadFrame::Negative | BadFrame::TooLarge(_)) => {
                    return Err(io::Error::other(
                        "it does not speak ZooKeeper's protocol, or only in TLS",
                    ));
                }
            }
        };
        let answer = Hello::read(&answer).map_err(|problem| io::Error::other(problem.0))?;
        if answer.timeout > 0 {
            self.hello.session = answer.session;
            self.hello.password = answer.password;
        }
        Ok(Dialled {
            server: server.to_string().into(),
            stream,
            received,
            session: answer.session,
            timeout: Duration::from_millis(u64::try_from(answer.timeout).unwrap_or(0)),
        })
    }
}
