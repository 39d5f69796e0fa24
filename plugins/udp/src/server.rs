//! The serving end: one socket, the calls that come by it, and what is remembered of them.

mod listening;
mod table;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use micro_core::handler::Peer;
use micro_core::transport::Listener;
use micro_core::{Error, Handler, Request, Response, Result};
use tokio::net::{UdpSocket, lookup_host};
use tokio::sync::oneshot;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use self::listening::Listening;
use self::table::Table;
use crate::config::UdpConfig;
use crate::datagram::{Header, Kind, write_answer, write_error};

/// What the socket's task and the handlers share.
struct Server {
    handler: Arc<dyn Handler>,
    config: UdpConfig,
    socket: UdpSocket,
    local: SocketAddr,
    /// Makes the tokens: another listener makes others.
    keys: RandomState,
    table: Mutex<Table>,
    handlers: TaskTracker,
}

impl Server {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a caller at an address shows to have received something there.
    fn token(&self, caller: SocketAddr) -> u64 {
        self.keys.hash_one(caller)
    }

    /// Handles a call and answers it.
    async fn handle(self: Arc<Self>, header: Header, mut request: Request, remote: SocketAddr) {
        request.peer = Some(Peer {
            remote,
            local: self.local,
        });
        let mut unanswered = Unanswered {
            server: &self,
            header,
            is_answered: false,
        };
        let datagram = match self.handler.handle(request).await {
            Ok(response) => self.answer(header, response),
            Err(error) => self.error(header, &error),
        };
        unanswered.is_answered = true;
        let datagram = Bytes::from(datagram);
        let to = self
            .table()
            .finish(header.caller, header.number, datagram.clone());
        // `None`: nobody waits for it any more.
        if let Some(address) = to
            && let Err(problem) = self.socket.send_to(&datagram, address).await
        {
            tracing::debug!(%address, %problem, "an answer was not sent; it is, when the call is repeated");
        }
    }

    fn answer(&self, header: Header, response: Response) -> Vec<u8> {
        let Some(message) = response.body.as_single() else {
            let error = Error::server(
                501,
                "the handler answers with a stream, which does not travel over udp",
            );
            return self.error(header, &error);
        };
        let largest = self.config.datagram_size();
        let written = write_answer(header.with(Kind::Answer), &response, message, largest);
        written.unwrap_or_else(|problem| {
            let detail = format!(
                "the answer does not fit into a datagram: {problem}, and may take {largest}, the limit datagram_size"
            );
            self.error(header, &Error::server(413, detail))
        })
    }

    fn error(&self, header: Header, error: &Error) -> Vec<u8> {
        write_error(header, error, self.config.datagram_size())
    }
}

/// Answers for a handler that panics.
struct Unanswered<'a> {
    server: &'a Server,
    header: Header,
    is_answered: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let Header { caller, number, .. } = self.header;
        let error = Error::server(500, "the handler ended without an answer");
        let datagram = Bytes::from(self.server.error(self.header, &error));
        let to = self.server.table().finish(caller, number, datagram.clone());
        if let Some(address) = to {
            let _ = self.server.socket.try_send_to(&datagram, address);
        }
    }
}

pub(crate) async fn listen(
    address: &str,
    handler: Arc<dyn Handler>,
    config: &UdpConfig,
) -> Result<UdpAcceptor> {
    let socket = bind(address).await?;
    let local = socket
        .local_addr()
        .map_err(|problem| cannot_listen(address, &problem))?;
    let server = Arc::new(Server {
        handler,
        config: config.clone(),
        socket,
        local,
        keys: RandomState::new(),
        table: Mutex::new(Table::new(config.limits)),
        handlers: TaskTracker::new(),
    });
    let (close, closing) = oneshot::channel();
    let task = AbortOnDropHandle::new(tokio::spawn(Listening::new(server).run(closing)));
    Ok(UdpAcceptor {
        address: local.to_string(),
        close,
        task,
    })
}

/// Binds `host:port`, `:port`, or the first free port of `host:first-last`.
async fn bind(address: &str) -> Result<UdpSocket> {
    let wrong = |problem: &str| {
        Error::bad_request(
            "go.micro.transport",
            format!("cannot listen at {address:?}: {problem}; write host:port, :0 or host:first-last"),
        )
    };
    let (host, ports) = address
        .rsplit_once(':')
        .ok_or_else(|| wrong("there is no port"))?;
    let host = match host.trim_matches(['[', ']']) {
        "" => "0.0.0.0",
        host => host,
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let port = |text: &str| {
        text.parse::<u16>()
            .map_err(|_| wrong("the port is no number from 0 to 65535"))
    };
    let mut problem = std::io::Error::other("the range of ports is empty");
    for port in port(first)?..=port(last)? {
        let found = lookup_host((host, port)).await;
        let candidates: Vec<_> = found
            .map_err(|problem| cannot_listen(address, &problem))?
            .collect();
        match UdpSocket::bind(candidates.as_slice()).await {
            Ok(socket) => return Ok(socket),
            Err(error) => problem = error,
        }
    }
    Err(cannot_listen(address, &problem))
}

fn cannot_listen(address: &str, problem: &std::io::Error) -> Error {
    Error::unavailable(
        "go.micro.transport",
        format!("cannot listen at {address}: {problem}; is another program there? port 0 takes a free one"),
    )
}

/// A port at which calls are served.
pub(crate) struct UdpAcceptor {
    address: String,
    close: oneshot::Sender<Duration>,
    task: AbortOnDropHandle<()>,
}

#[async_trait]
impl Listener for UdpAcceptor {
    fn address(&self) -> &str {
        &self.address
    }

    async fn close(self: Box<Self>, grace: Duration) {
        let _ = self.close.send(grace);
        let _ = self.task.await;
    }
}
