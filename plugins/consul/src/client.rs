//! The connection to Consul's agents: one is used until it fails, then the next.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use micro_core::{ErrorKind, Result};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use crate::check;
use crate::config::ConsulConfig;
use crate::error;
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

pub(crate) struct Client {
    http: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    agents: Vec<String>,
    current: AtomicUsize,
    token: Option<HeaderValue>,
    datacenter: Option<String>,
    timeout: Duration,
    wait: Duration,
}

/// What an agent answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Which agent it was.
    pub(crate) agent: usize,
    /// How far Consul's state had come.
    pub(crate) index: Option<u64>,
    body: Bytes,
}

/// What is asked.
#[derive(Clone, Copy)]
struct Question<'a> {
    method: &'a Method,
    path: &'a str,
    body: &'a Bytes,
}

impl Client {
    /// Connects when something is asked for.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense.
    pub(crate) fn new(config: &ConsulConfig) -> Result<Self> {
        let agents = config.uris()?;
        let token = config.token.as_deref().filter(|token| !token.is_empty());
        let token = token.map(|token| match HeaderValue::from_str(token.trim()) {
            Ok(mut token) => {
                token.set_sensitive(true);
                Ok(token)
            }
            Err(_) => Err(error::misconfigured(
                "the ACL token holds what no header may hold; check CONSUL_HTTP_TOKEN",
            )),
        });
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT_FOR)
            .pool_max_idle_per_host(KEPT)
            .build(connector(config)?);
        Ok(Self {
            http,
            agents,
            current: AtomicUsize::new(0),
            token: token.transpose()?,
            datacenter: config.datacenter.clone().filter(|name| !name.is_empty()),
            timeout: config.request_timeout.min(LONGEST_TIMEOUT),
            wait: config.watch_wait.min(LONGEST_WAIT),
        })
    }

    /// Asks the agent that is used now, or the next where it fails.
    pub(crate) async fn get(&self, path: &Path) -> Result<Answer> {
        self.call(None, &Method::GET, path, Bytes::new()).await
    }

    /// Tells an agent something. None: the one that is used now, or the next where it fails.
    pub(crate) async fn put(&self, agent: Option<usize>, path: &Path, body: Bytes) -> Result<Answer> {
        self.call(agent, &Method::PUT, path, body).await
    }

    /// Asks one agent what it knows itself.
    pub(crate) async fn get_from(&self, agent: Option<usize>, path: &Path) -> Result<Answer> {
        self.call(agent, &Method::GET, path, Bytes::new()).await
    }

    /// Waits until there is more than at an index, or the longest wait is over.
    pub(crate) async fn wait(&self, path: &Path, index: u64) -> Result<Answer> {
        let path = path
            .clone()
            .query("index", &index.to_string())
            .query("wait", &check::text(self.wait));
        // Consul adds up to a sixteenth, so that not all waits end at once.
        let longest = self.wait + self.wait / 16 + self.timeout;
        let question = Question {
            method: &Method::GET,
            path: path.as_str(),
            body: &Bytes::new(),
        };
        let agent = self.agent(None);
        let answer = self.ask(agent, question, Instant::now() + longest, longest).await;
        if answer.as_ref().is_err_and(|error| may_pass(error.kind())) {
            self.leave(agent);
        }
        answer
    }

    /// A path that looks into the datacenter that was configured.
    pub(crate) fn in_datacenter(&self, path: Path) -> Path {
        match &self.datacenter {
            Some(datacenter) => path.query("dc", datacenter),
            None => path,
        }
    }

    /// One more attempt than there are agents is made, because a connection that broke while idle is noticed only then;
    /// every request here may be repeated. An agent that fails is left, also where it alone is to be asked: one that
    /// answers some requests and fails others would be used for ever.
    async fn call(&self, only: Option<usize>, method: &Method, path: &Path, body: Bytes) -> Result<Answer> {
        let deadline = Instant::now() + self.timeout;
        let question = Question {
            method,
            path: path.as_str(),
            body: &body,
        };
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
            let answer = answered.map_err(|problem| error::unreachable(address, &problem))?;
            read(agent, address, answer).await
        };
        match timeout_at(deadline, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(error::late(address, timeout)),
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
            error::refused(format_args!("a name makes no address for a request: {problem}"))
        })
    }

    /// The agent that is used now, unless it is to be a certain one.
    pub(crate) fn agent(&self, only: Option<usize>) -> usize {
        only.unwrap_or_else(|| self.current.load(Ordering::Relaxed)) % self.agents.len()
    }

    /// Uses the next agent from now on, unless somebody else has left this one already.
    fn leave(&self, agent: usize) {
        let next = (agent + 1) % self.agents.len();
        let _ = self
            .current
            .compare_exchange(agent, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The address of an agent, for errors.
    pub(crate) fn address(&self, agent: usize) -> &str {
        &self.agents[agent]
    }

    /// How many agents there are.
    pub(crate) fn agents(&self) -> usize {
        self.agents.len()
    }

    /// The addresses of all agents, for errors.
    pub(crate) fn addresses(&self) -> String {
        self.agents.join(", ")
    }
}

impl Answer {
    /// The JSON of the answer.
    pub(crate) fn json<T: DeserializeOwned>(&self, client: &Client) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|problem| {
            let what = format!("answered what cannot be read ({problem})");
            error::unexpected(client.address(self.agent), what).with_source(problem)
        })
    }
}

async fn read(agent: usize, address: &str, answer: Response<Incoming>) -> Result<Answer> {
    let (head, body) = answer.into_parts();
    let index = head
        .headers
        .get(INDEX)
        .and_then(|index| index.to_str().ok()?.parse().ok());
    let body = match Limited::new(body, LARGEST_ANSWER).collect().await {
        Ok(body) => body.to_bytes(),
        Err(problem) if problem.is::<LengthLimitError>() => {
            return Err(error::too_large(format_args!(
                "{address} answered with more than {LARGEST_ANSWER} bytes; make the records smaller"
            )));
        }
        Err(problem) => return Err(error::unreachable(address, &*problem)),
    };
    if !head.status.is_success() {
        return Err(error::failed(address, head.status, &body));
    }
    Ok(Answer { agent, index, body })
}

/// Whether another attempt or another agent may do better.
pub(crate) fn may_pass(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout)
}
