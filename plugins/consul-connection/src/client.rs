//! The connection to Consul's agents: one is used until it fails, then the next.

use std::fmt::{self, Display};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use micro_core::backend::Role;
use micro_core::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use crate::config::ConsulAgents;
use crate::duration::duration_text;
use crate::error::{self, CONSUL};
use crate::path::Path;
use crate::tls::connector;

/// How many bytes one answer may have, such as the listing of a large service.
const LARGEST_ANSWER: usize = 256 * 1024 * 1024;
/// How many connections to one agent are kept for the next requests, and how long.
const KEPT: usize = 4;
const KEPT_FOR: Duration = Duration::from_secs(30);
/// The longest that Consul holds an answer back.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// A longer timeout is none; so it needs no more than this, which can still be added to any time.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
const TOKEN: &str = "x-consul-token";
const INDEX: &str = "x-consul-index";
static NOTHING: Bytes = Bytes::new();

/// A client of Consul's agents, of which one is used until it fails, then the next. It connects when something is asked for.
///
/// All requests may be made several times, and dropping the future of one ends it.
pub struct ConsulClient {
    role: Role,
    http: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    agents: Vec<String>,
    current: AtomicUsize,
    token: Option<HeaderValue>,
    datacenter: Option<String>,
    namespace: Option<String>,
    timeout: Duration,
    wait: Duration,
}

/// What an agent answered.
#[derive(Debug)]
pub struct Answer {
    /// Which agent it was.
    pub agent: usize,
    /// How far Consul's state had come.
    pub index: Option<u64>,
    /// Whether there is what was asked for. Only [`ConsulClient::find`] and waiting for it take that there is nothing.
    pub is_found: bool,
    body: Bytes,
}

/// What is asked.
#[derive(Clone, Copy)]
struct Question<'a> {
    method: &'a Method,
    path: &'a str,
    body: &'a Bytes,
    /// That there is nothing is an answer, too.
    may_be_missing: bool,
}

impl<'a> Question<'a> {
    fn get(path: &'a Path) -> Self {
        Self {
            method: &Method::GET,
            path: path.as_str(),
            body: &NOTHING,
            may_be_missing: false,
        }
    }
}

impl ConsulClient {
    /// A client that has not connected yet.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense.
    pub fn new(agents: &ConsulAgents, role: Role) -> Result<Self> {
        let uris = agents.uris(role)?;
        let token = agents.token.as_deref().filter(|token| !token.is_empty());
        let token = token.map(|token| match HeaderValue::from_str(token.trim()) {
            Ok(mut token) => {
                token.set_sensitive(true);
                Ok(token)
            }
            Err(_) => Err(CONSUL.misconfigured(
                role,
                "the ACL token holds what no header may hold; check CONSUL_HTTP_TOKEN",
            )),
        });
        let connector = connector(agents, role)?;
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT_FOR)
            .pool_max_idle_per_host(KEPT)
            .build(connector);
        let named = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
        Ok(Self {
            role,
            http,
            agents: uris,
            current: AtomicUsize::new(0),
            token: token.transpose()?,
            datacenter: named(&agents.datacenter),
            namespace: named(&agents.namespace),
            timeout: agents.request_timeout.min(LONGEST_TIMEOUT),
            wait: agents.watch_wait.min(LONGEST_WAIT),
        })
    }

    /// Asks the agent that is used now, or the next where it fails.
    ///
    /// # Errors
    ///
    /// When no agent answers in time, or one refuses.
    pub async fn get(&self, path: &Path) -> Result<Answer> {
        self.get_from(None, path).await
    }

    /// Asks for what may be missing, which is an answer then, too.
    ///
    /// # Errors
    ///
    /// When no agent answers in time, or one refuses.
    pub async fn find(&self, path: &Path) -> Result<Answer> {
        let question = Question {
            may_be_missing: true,
            ..Question::get(path)
        };
        self.call(None, question).await
    }

    /// Tells an agent something. None: the one that is used now, or the next where it fails.
    ///
    /// # Errors
    ///
    /// When no agent answers in time, or one refuses.
    pub async fn put(&self, agent: Option<usize>, path: &Path, body: Bytes) -> Result<Answer> {
        let question = Question {
            method: &Method::PUT,
            body: &body,
            ..Question::get(path)
        };
        self.call(agent, question).await
    }

    /// Asks one agent what it knows itself.
    ///
    /// # Errors
    ///
    /// When it does not answer in time, or refuses.
    pub async fn get_from(&self, agent: Option<usize>, path: &Path) -> Result<Answer> {
        self.call(agent, Question::get(path)).await
    }

    /// Waits until there is more than at an index, or the longest wait is over.
    ///
    /// # Errors
    ///
    /// When the agent does not answer in time, or refuses.
    pub(crate) async fn wait(&self, path: &Path, index: u64, may_be_missing: bool) -> Result<Answer> {
        let path = path
            .clone()
            .query("index", &index.to_string())
            .query("wait", &duration_text(self.wait));
        // Consul adds up to a sixteenth, so that not all waits end at once.
        let longest = self.wait + self.wait / 16 + self.timeout;
        let question = Question {
            may_be_missing,
            ..Question::get(&path)
        };
        let agent = self.agent(None);
        let answer = self.ask(agent, question, Instant::now() + longest, longest).await;
        if answer.as_ref().is_err_and(|error| may_pass(error.kind())) {
            self.leave(agent);
        }
        answer
    }

    /// A path that looks into the datacenter and the namespace that were configured.
    pub fn in_datacenter(&self, path: Path) -> Path {
        let path = match &self.datacenter {
            Some(datacenter) => path.query("dc", datacenter),
            None => path,
        };
        match &self.namespace {
            Some(namespace) => path.query("ns", namespace),
            None => path,
        }
    }

    /// One more attempt than there are agents is made, because a connection that broke while idle is noticed only then;
    /// every request here may be repeated. An agent that fails is left, also where it alone is to be asked: one that
    /// answers some requests and fails others would be used for ever.
    async fn call(&self, only: Option<usize>, question: Question<'_>) -> Result<Answer> {
        let deadline = Instant::now() + self.timeout;
        let mut attempts = only.map_or(self.agents.len(), |_| 1) + 1;
        loop {
            let agent = self.agent(only);
            let answer = self.ask(agent, question, deadline, self.timeout).await;
            let Err(error) = answer else { return answer };
            if !may_pass(error.kind()) {
                return Err(error);
            }
            attempts -= 1;
            let is_last = attempts == 0 || Instant::now() >= deadline;
            if only.is_none() || is_last {
                self.leave(agent);
            }
            if is_last {
                return Err(error);
            }
        }
    }

    async fn ask(
        &self,
        agent: usize,
        question: Question<'_>,
        deadline: Instant,
        timeout: Duration,
    ) -> Result<Answer> {
        let address = &self.agents[agent];
        let request = self.request(address, question)?;
        let exchange = async {
            let answered = self.http.request(request).await;
            let answer = answered.map_err(|problem| error::unreachable(self.role, address, &problem))?;
            self.read(agent, answer, question.may_be_missing).await
        };
        match timeout_at(deadline, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(CONSUL.late(self.role, address, timeout)),
        }
    }

    fn request(&self, address: &str, question: Question<'_>) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(question.method)
            .uri(format!("{address}{}", question.path));
        if let Some(token) = &self.token {
            request = request.header(TOKEN, token);
        }
        if !question.body.is_empty() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let request = request.body(Full::new(question.body.clone()));
        request.map_err(|problem| {
            CONSUL.misconfigured(
                self.role,
                format_args!("a name makes no address for a request: {problem}"),
            )
        })
    }

    async fn read(&self, agent: usize, answer: Response<Incoming>, may_be_missing: bool) -> Result<Answer> {
        let address = &self.agents[agent];
        let (head, body) = answer.into_parts();
        let index = head
            .headers
            .get(INDEX)
            .and_then(|index| index.to_str().ok()?.parse().ok());
        let body = match Limited::new(body, LARGEST_ANSWER).collect().await {
            Ok(body) => body.to_bytes(),
            Err(problem) if problem.is::<LengthLimitError>() => {
                return Err(error::too_large(self.role, address, LARGEST_ANSWER));
            }
            Err(problem) => return Err(error::unreachable(self.role, address, &*problem)),
        };
        let is_found = head.status.is_success();
        // Consul tells the index of what is missing; something else that does not know the path has none.
        let is_missing = may_be_missing && head.status == StatusCode::NOT_FOUND && index.is_some();
        if !is_found && !is_missing {
            return Err(error::failed(self.role, address, head.status, &body));
        }
        Ok(Answer {
            agent,
            index,
            is_found,
            body,
        })
    }

    /// What an agent did is not what Consul's agents do.
    pub fn unexpected(&self, agent: usize, what: impl Display) -> Error {
        CONSUL.unexpected(self.role, &self.agents[agent], what)
    }

    /// The agent that is used now, unless it is to be a certain one.
    pub fn agent(&self, only: Option<usize>) -> usize {
        only.unwrap_or_else(|| self.current.load(Ordering::Relaxed)) % self.agents.len()
    }

    /// Uses the next agent from now on, unless somebody else has left this one already.
    fn leave(&self, agent: usize) {
        let next = (agent + 1) % self.agents.len();
        let _ = self
            .current
            .compare_exchange(agent, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// How many agents there are.
    pub fn agents(&self) -> usize {
        self.agents.len()
    }

    /// The addresses of all agents, for errors.
    pub fn addresses(&self) -> String {
        self.agents.join(", ")
    }
}

impl fmt::Debug for ConsulClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ConsulClient")
            .field("agents", &self.agents)
            .finish_non_exhaustive()
    }
}

impl Answer {
    /// The JSON of the answer.
    ///
    /// # Errors
    ///
    /// When it is none, or another one than is wanted.
    pub fn json<T: DeserializeOwned>(&self, client: &ConsulClient) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|problem| {
            let what = format!("answered what cannot be read ({problem})");
            client.unexpected(self.agent, what).with_source(problem)
        })
    }
}

/// Whether another attempt or another agent may do better.
pub fn may_pass(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout)
}
