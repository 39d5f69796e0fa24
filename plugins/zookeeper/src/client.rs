//! A session as its users have it: requests and their answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use micro_core::Result;
use micro_core::backend::Role;
use micro_core::transport::socket::Connector;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::config::{Server, ZookeeperConfig};
use crate::dial::Dialler;
use crate::error::{Trouble, ZOOKEEPER};
use crate::inbox::Inboxes;
use crate::intake::{Asked, Intake};
use crate::jute::Malformed;
use crate::requests::{
    Code, Content, Request, authentication, get_children, get_data, multi, read_children, read_content,
    read_multi,
};
use crate::session::Session;

/// How many requests may wait to be taken by the session's task.
const QUEUE: usize = 256;
/// How often what only reads is asked again when the connection broke.
const REPEATS: usize = 2;

/// What makes sessions.
pub(crate) struct Opener {
    servers: Vec<Server>,
    connector: Connector,
    config: ZookeeperConfig,
}

/// A session, and the owner of its task. Dropping it tells the task to close the session, so that what it holds is gone
/// from the servers at once; the task ends by itself within two seconds then, whatever the server does.
pub(crate) struct Client {
    requests: mpsc::Sender<Asked>,
    /// What the task sees closed when this is dropped.
    _owned: oneshot::Receiver<()>,
    pub(crate) inboxes: Arc<Inboxes>,
    session: watch::Receiver<i64>,
    servers: Arc<str>,
    timeout: Duration,
    limit: usize,
}

impl Opener {
    pub(crate) fn new(config: &ZookeeperConfig, servers: Vec<Server>) -> Result<Self> {
        Ok(Self {
            servers,
            connector: ZOOKEEPER.connector(Role::Registry, config.tls.as_ref(), &[])?,
            config: config.clone(),
        })
    }

    /// Opens a session, which connects by itself.
    pub(crate) fn open(&self) -> Client {
        let config = &self.config;
        let (requests, asked) = mpsc::channel(QUEUE);
        let (id, session) = watch::channel(0);
        let inboxes = Arc::new(Inboxes::default());
        let task = Session {
            dialler: Dialler::new(
                self.servers.clone(),
                self.connector.clone(),
                config.connect_timeout,
                config.session_timeout,
            ),
            intake: Intake::new(asked),
            inboxes: inboxes.clone(),
            id,
            authentication: config
                .user
                .as_ref()
                .map(|user| authentication(user, &config.password)),
            limit: config.max_message,
        };
        let (owner, owned) = oneshot::channel();
        tokio::spawn(task.run_for(owner));
        Client {
            requests,
            _owned: owned,
            inboxes,
            session,
            servers: self.addresses().into(),
            timeout: config.request_timeout,
            limit: config.max_message,
        }
    }

    /// The addresses of all servers, for errors.
    pub(crate) fn addresses(&self) -> String {
        let addresses: Vec<String> = self.servers.iter().map(Server::to_string).collect();
        addresses.join(", ")
    }
}

impl Client {
    /// The session that was open last. 0: none was yet.
    pub(crate) fn session(&self) -> i64 {
        *self.session.borrow()
    }

    /// Tells of each new session.
    pub(crate) fn sessions(&self) -> watch::Receiver<i64> {
        self.session.clone()
    }

    /// What a node has. None: there is no such node.
    pub(crate) async fn content(&self, path: &str) -> Result<Option<Content>, Trouble> {
        match self.look(get_data(path)).await {
            Ok(answer) => read_content(&answer)
                .map(Some)
                .map_err(|problem| self.malformed(problem)),
            Err(trouble) if trouble.is(Code::NO_NODE) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// The names of what is below a node; none if there is no such node.
    pub(crate) async fn children(&self, path: &str) -> Result<Vec<String>, Trouble> {
        match self.look(get_children(path)).await {
            Ok(answer) => read_children(&answer).map_err(|problem| self.malformed(problem)),
            Err(trouble) if trouble.is(Code::NO_NODE) => Ok(Vec::new()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Does all of these or none.
    pub(crate) async fn all(&self, parts: &[Request]) -> Result<(), Trouble> {
        let answer = self.ask(multi(parts)).await?;
        match read_multi(&answer).map_err(|problem| self.malformed(problem))? {
            None => Ok(()),
            Some(code) => Err(Trouble::Refused {
                server: self.servers.clone(),
                code,
            }),
        }
    }

    /// Asks for what changes nothing, and again when the connection breaks.
    pub(crate) async fn look(&self, request: Request) -> Result<Bytes, Trouble> {
        let mut repeats = REPEATS;
        loop {
            match self.ask(request.clone()).await {
                Err(Trouble::Lost { .. }) if repeats > 0 => repeats -= 1,
                answer => return answer,
            }
        }
    }

    /// Asks once.
    pub(crate) async fn ask(&self, request: Request) -> Result<Bytes, Trouble> {
        let size = 8 + request.body.len();
        if size > self.limit {
            let limit = self.limit;
            return Err(Trouble::TooLarge { size, limit });
        }
        let asked = async {
            let (answer, answered) = oneshot::channel();
            self.requests.send(Asked { request, answer }).await.ok()?;
            answered.await.ok()
        };
        match timeout(self.timeout, asked).await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(Trouble::Lost {
                server: self.servers.clone(),
                why: "the session's task ended; is the runtime shutting down?".into(),
            }),
            Err(_) => Err(Trouble::Late {
                servers: self.servers.clone(),
                timeout: self.timeout,
            }),
        }
    }

    fn malformed(&self, problem: Malformed) -> Trouble {
        Trouble::Unexpected {
            server: self.servers.clone(),
            what: problem.0,
        }
    }
}
