//! A connection that comes back: whoever needs it waits until it is there.

use std::convert::Infallible;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{FuturesUnordered, StreamExt};
use micro_core::backend::Role;
use micro_core::{Error, Result};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::config::{Node, RabbitmqServer};
use crate::connection::{Connection, pause};
use crate::error;

/// What is made of each new connection before anybody uses it.
#[async_trait]
pub trait Outfit: Send + Sync + 'static {
    /// What users of the connection need: channels, declared names.
    type Made: Send + Sync + 'static;

    /// Opens and declares what is needed.
    ///
    /// # Errors
    ///
    /// When RabbitMQ refuses it, or the connection is lost. Another connection is tried then.
    async fn make(&self, connection: &Connection) -> Result<Self::Made>;

    /// Whether it still works. When it does not, all is made anew.
    fn is_usable(&self, made: &Self::Made) -> bool {
        let _ = made;
        true
    }
}

/// A connection that works, and what was made of it.
pub struct Up<M> {
    /// The connection.
    pub connection: Connection,
    made: M,
}

impl<M> Deref for Up<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.made
    }
}

enum State<M> {
    Up(Arc<Up<M>>),
    Down(Arc<str>),
}

/// A connection to RabbitMQ that is made anew whenever it is lost, a few times a second until that works.
///
/// Its task ends when it is dropped; it says goodbye to RabbitMQ then, for at most two seconds.
pub struct Link<M> {
    state: watch::Receiver<State<M>>,
    look: Arc<Notify>,
    role: Role,
    stop: DropGuard,
    task: JoinHandle<()>,
}

impl<M: Send + Sync + 'static> Link<M> {
    /// Connects. From then on the connection is kept.
    ///
    /// # Errors
    ///
    /// When no node can be reached, or refuses the login or what is to be made.
    pub async fn connect(server: RabbitmqServer, role: Role, outfit: impl Outfit<Made = M>) -> Result<Self> {
        let mut keeper = Keeper {
            nodes: server.nodes(role)?,
            server,
            role,
            outfit,
            next: 0,
            stop: CancellationToken::new(),
            look: Arc::new(Notify::new()),
        };
        let up = keeper.connect_somewhere().await?;
        let (state, receiver) = watch::channel(State::Up(up.clone()));
        Ok(Self {
            state: receiver,
            look: keeper.look.clone(),
            role,
            stop: keeper.stop.clone().drop_guard(),
            task: tokio::spawn(keeper.keep(up, state)),
        })
    }

    /// Ends the connection, and returns when RabbitMQ knows of it or did not answer in time.
    pub async fn close(self) {
        drop(self.stop);
        let _ = self.task.await;
    }

    /// The connection, as soon as there is one. May be cancelled.
    pub async fn up(&self) -> Arc<Up<M>> {
        match self.now() {
            Some(up) => up,
            None => self.wait(|_| true).await,
        }
    }

    /// The connection that follows this one, on which something failed.
    pub async fn after(&self, failed: &Arc<Up<M>>) -> Arc<Up<M>> {
        self.look.notify_one();
        self.wait(|up| !Arc::ptr_eq(up, failed)).await
    }

    async fn wait(&self, is_wanted: impl Fn(&Arc<Up<M>>) -> bool) -> Arc<Up<M>> {
        let mut state = self.state.clone();
        loop {
            if let State::Up(up) = &*state.borrow_and_update()
                && is_wanted(up)
            {
                return up.clone();
            }
            if state.changed().await.is_err() {
                // The runtime is going down, and with it whoever waits here.
                std::future::pending::<()>().await;
            }
        }
    }

    /// The connection, if there is one.
    pub fn now(&self) -> Option<Arc<Up<M>>> {
        match &*self.state.borrow() {
            State::Up(up) => Some(up.clone()),
            State::Down(_) => None,
        }
    }

    /// Why something that needs the connection did not come to its end in time.
    pub fn late(&self, what: impl std::fmt::Display, limit: Duration) -> Error {
        let why = match &*self.state.borrow() {
            State::Down(why) => why.to_string(),
            State::Up(up) if up.connection.is_blocked() => format!(
                "RabbitMQ at {} takes no messages, being out of memory or disk space; see rabbitmqctl list_alarms",
                up.connection.node()
            ),
            State::Up(up) => format!(
                "RabbitMQ at {} is connected and does not answer",
                up.connection.node()
            ),
        };
        Error::timeout(
            self.role.id(),
            format!("{what} was not done within {limit:?}: {why}"),
        )
    }
}

/// How often it is looked whether everybody let go of a connection that has ended.
const LETTING_GO: usize = 50;

/// How many goodbyes to former connections may go on at once. A server that drops each connection at once is waited for
/// with more.
const GOODBYES: usize = 4;

/// The task that keeps a link.
struct Keeper<O> {
    server: RabbitmqServer,
    nodes: Vec<Node>,
    role: Role,
    outfit: O,
    /// The node to try next.
    next: usize,
    stop: CancellationToken,
    look: Arc<Notify>,
}

impl<O: Outfit> Keeper<O> {
    async fn keep(mut self, mut up: Arc<Up<O::Made>>, state: watch::Sender<State<O::Made>>) {
        // Not awaited before the next connection is made: who waits for that has no use for the former one's end.
        let mut goodbyes = FuturesUnordered::new();
        loop {
            let stop = self.stop.clone();
            let lost = tokio::select! {
                () = stop.cancelled() => None,
                why = self.lost(&up) => Some(why),
                never = all_of(&mut goodbyes) => match never {},
            };
            if let Some(why) = &lost {
                tracing::debug!(node = up.connection.node(), why, "lost a connection to RabbitMQ");
            }
            let why = lost.as_deref().unwrap_or("it is closed");
            let node = up.connection.node();
            state.send_replace(State::Down(format!("rabbitmq at {node}: {why}").into()));
            let Some(_) = lost else {
                goodbyes.push(close(up));
                while goodbyes.next().await.is_some() {}
                return;
            };
            goodbyes.push(close(up));
            let has_room = async {
                while goodbyes.len() > GOODBYES {
                    goodbyes.next().await;
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = has_room => {}
            }
            let back = tokio::select! {
                () = stop.cancelled() => None,
                back = self.come_back(&state) => Some(back),
                never = all_of(&mut goodbyes) => match never {},
            };
            match back {
                Some(back) => up = back,
                None => return,
            }
        }
    }

    /// Waits until the connection, or what was made of it, no longer works.
    async fn lost(&self, up: &Up<O::Made>) -> String {
        let mut lost = pin!(up.connection.lost());
        loop {
            tokio::select! {
                why = &mut lost => return why,
                () = self.look.notified() => if !self.outfit.is_usable(&up.made) {
                    return "a channel was closed".to_owned();
                },
            }
        }
    }

    async fn come_back(&mut self, state: &watch::Sender<State<O::Made>>) -> Arc<Up<O::Made>> {
        let mut failures = 0;
        loop {
            pause(failures).await;
            match self.connect_next().await {
                Ok(up) => {
                    state.send_replace(State::Up(up.clone()));
                    return up;
                }
                Err(error) => {
                    if failures == 0 {
                        tracing::debug!(%error, "RabbitMQ is away");
                    }
                    state.send_replace(State::Down(error.detail().into()));
                }
            }
            failures = failures.saturating_add(1);
        }
    }

    /// Connects to the first node that lets it; the error is the last one's.
    async fn connect_somewhere(&mut self) -> Result<Arc<Up<O::Made>>> {
        let mut connected = self.connect_next().await;
        for _ in 1..self.nodes.len() {
            if connected.is_err() {
                connected = self.connect_next().await;
            }
        }
        connected
    }

    async fn connect_next(&mut self) -> Result<Arc<Up<O::Made>>> {
        let connected = self.connect(&self.nodes[self.next]).await;
        if connected.is_err() {
            self.next = (self.next + 1) % self.nodes.len();
        }
        connected
    }

    async fn connect(&self, node: &Node) -> Result<Arc<Up<O::Made>>> {
        let connection = Connection::open(&self.server, node, self.role).await?;
        let limit = self.server.connect_timeout;
        let made = timeout(limit, self.outfit.make(&connection)).await;
        match made.unwrap_or_else(|_| Err(error::late(self.role, &node.name, limit))) {
            Ok(made) => Ok(Arc::new(Up { connection, made })),
            Err(error) => {
                connection.close().await;
                Err(error)
            }
        }
    }
}

/// Drives what is left to be done, for as long as it is asked.
async fn all_of<F: Future<Output = ()>>(goodbyes: &mut FuturesUnordered<F>) -> Infallible {
    while goodbyes.next().await.is_some() {}
    std::future::pending().await
}

/// Closes a connection. Who still uses it is told by failures, and lets go of it; then its thread is awaited.
async fn close<M>(mut up: Arc<Up<M>>) {
    up.connection.end().await;
    for _ in 0..LETTING_GO {
        match Arc::try_unwrap(up) {
            Ok(up) => {
                drop(up.made);
                return up.connection.close().await;
            }
            Err(held) => up = held,
        }
        sleep(Duration::from_millis(10)).await;
    }
}
