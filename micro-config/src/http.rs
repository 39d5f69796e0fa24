//! A document at an HTTP or HTTPS address.

mod answer;
mod date;
mod tls;

use std::fmt;
use std::time::Duration;

use ::http::header::{
    ACCEPT, AUTHORIZATION, ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use ::http::{Request, Uri};
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Empty;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, sleep_until, timeout};

use crate::{Document, Error, ErrorKind, Format, Result, Source};
use answer::{Answer, Limits};

/// How long a connection is kept for the next request, where that is sooner.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// The longest that an interval or a timeout may be; one that is longer is this.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A document at an HTTP or HTTPS address.
///
/// It is asked for again after each interval, with the `ETag` that it had, or else its `Last-Modified` where that is
/// two seconds ago at least, so that a server that knows them need not send what is the same. Redirections are not followed: the error says where to.
///
/// The format is told by the `Content-Type`, and else by the extension of the address' path. Neither the token nor
/// the query of the address are shown anywhere.
pub struct Http {
    address: Uri,
    /// The address as it may be shown.
    name: String,
    interval: Duration,
    timeout: Duration,
    limits: Limits,
    token: Option<HeaderValue>,
    authorities: Vec<u8>,
    client: Option<Client<HttpsConnector<HttpConnector>, Empty<Bytes>>>,
    last: Option<Last>,
    /// When it is asked for next.
    next: Instant,
}

/// What was answered last.
struct Last {
    validators: HeaderMap,
    document: Document,
}

impl Http {
    /// A document at an address, such as `https://config.example/greeter.toml`.
    ///
    /// # Errors
    ///
    /// When it is no HTTP address, or holds a name and a password: those would be shown.
    pub fn new(address: &str) -> Result<Self> {
        let wrong = |problem: &str| {
            Error::new(
                ErrorKind::Misused,
                format_args!("the address of a document cannot be used: {problem}"),
            )
        };
        let uri: Uri = address
            .parse()
            .map_err(|problem: ::http::uri::InvalidUri| wrong(&problem.to_string()))?;
        let scheme = uri.scheme_str().unwrap_or_default();
        if !matches!(scheme, "http" | "https") {
            return Err(wrong("it must begin with http:// or https://"));
        }
        let host = uri
            .authority()
            .map(|authority| authority.as_str())
            .unwrap_or_default();
        if host.is_empty() {
            return Err(wrong("it names no host"));
        }
        if host.contains('@') {
            return Err(wrong("it holds a name or a password; say a token instead"));
        }
        Ok(Self {
            name: format!("{scheme}://{host}{}", uri.path()),
            address: uri,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            limits: Limits {
                format: None,
                largest: 16 * 1024 * 1024,
            },
            token: None,
            authorities: Vec::new(),
            client: None,
            last: None,
            next: Instant::now(),
        })
    }

    /// How long to wait between two requests; up to a tenth more or less, so that not all ask at once. Default: 10 s.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.clamp(Duration::from_millis(10), LONGEST);
        self
    }

    /// How long a request may take. Default: 5 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(LONGEST);
        self
    }

    /// The format, whatever the server says.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.limits.format = Some(format);
        self
    }

    /// How many bytes the document may have; a larger one is an error. Default: 16 MiB.
    #[must_use]
    pub fn largest(mut self, bytes: usize) -> Self {
        self.limits.largest = bytes;
        self
    }

    /// Sends `Authorization: Bearer …` with each request.
    ///
    /// # Errors
    ///
    /// When the token holds what no header may hold.
    pub fn bearer(mut self, token: &str) -> Result<Self> {
        let header = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
        let mut header = header.map_err(|_| {
            Error::new(
                ErrorKind::Misused,
                format_args!("{}: the token holds what no header may hold", self.name),
            )
        })?;
        header.set_sensitive(true);
        self.token = Some(header);
        Ok(self)
    }

    /// Whom to believe that an `https://` server is who it says: certificates in PEM. Without any, nobody is believed.
    #[must_use]
    pub fn authorities(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities = pem.into();
        self
    }

    fn client(&mut self) -> Result<Client<HttpsConnector<HttpConnector>, Empty<Bytes>>> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let is_encrypted = self.address.scheme_str() == Some("https");
        if is_encrypted && self.authorities.is_empty() {
            return Err(Error::new(
                ErrorKind::Misused,
                format_args!("{}: say which authorities to believe", self.name),
            ));
        }
        let connector =
            tls::connector(&self.authorities, self.timeout).map_err(|error| error.context(&self.name))?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT_FOR)
            .pool_max_idle_per_host(1)
            .build(connector);
        Ok(self.client.insert(client).clone())
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>> {
        let mut request = Request::get(self.address.clone()).header(
            ACCEPT,
            "application/json, application/yaml, application/toml, */*;q=0.5",
        );
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        if let Some(last) = &self.last {
            for (known, header) in [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)] {
                if let Some(value) = last.validators.get(known) {
                    request = request.header(header, value);
                }
            }
        }
        request
            .body(Empty::new())
            .map_err(|problem| Error::new(ErrorKind::Misused, format_args!("{}: {problem}", self.name)))
    }

    /// Asks for the document. Whether it is another than before.
    async fn ask(&mut self) -> Result<bool> {
        let client = self.client()?;
        let request = self.request()?;
        let exchange = async {
            let answered = client.request(request).await;
            let answered = answered.map_err(|problem| {
                let why = answer::innermost(&problem);
                Error::new(
                    ErrorKind::Unavailable,
                    format_args!("{}: it cannot be reached: {why}", self.name),
                )
            })?;
            answer::read(&self.name, self.limits, answered).await
        };
        let answer = match timeout(self.timeout, exchange).await {
            Ok(answer) => answer?,
            Err(_) => {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    format_args!("{}: no answer within {:?}", self.name, self.timeout),
                ));
            }
        };
        match answer {
            Answer::Same => Ok(false),
            Answer::Document { validators, document } => {
                let is_other = self.last.as_ref().is_none_or(|last| last.document != document);
                self.last = Some(Last { validators, document });
                Ok(is_other)
            }
        }
    }

    fn wait_from_now(&mut self) {
        self.next = Instant::now() + self.interval.mul_f64(0.9 + fastrand::f64() / 5.0);
    }
}

impl fmt::Display for Http {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

#[async_trait]
impl Source for Http {
    async fn read(&mut self) -> Result<Vec<Document>> {
        let asked = self.ask().await;
        self.wait_from_now();
        if asked
            .as_ref()
            .is_err_and(|error| error.kind() == ErrorKind::Missing)
        {
            // What comes after it is a change, be it the same.
            self.last = None;
        }
        asked?;
        match &self.last {
            Some(last) => Ok(vec![last.document.clone()]),
            None => Err(Error::new(
                ErrorKind::Unavailable,
                format_args!(
                    "{}: it answers that what was never asked for is the same",
                    self.name
                ),
            )),
        }
    }

    async fn changed(&mut self) -> Result<()> {
        loop {
            sleep_until(self.next).await;
            let asked = self.ask().await;
            self.wait_from_now();
            if asked? {
                return Ok(());
            }
        }
    }
}
