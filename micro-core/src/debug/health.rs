//! Health over plain HTTP, for load balancers and orchestrators.

use std::panic::AssertUnwindSafe;
use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::join_all;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use serde::Serialize;
use tokio::time::{Instant, timeout};

use super::{Check, Diagnostics, Readiness};
use crate::transport::http::Route;
use crate::{Body, Error};

/// How long a check may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers `/health` and what is below it.
pub(super) struct HealthRoute(pub(super) Diagnostics);

#[derive(Serialize)]
struct Report {
    status: &'static str,
    checks: Vec<Checked>,
    info: Info,
}

#[derive(Serialize)]
pub(super) struct Checked {
    name: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// In nanoseconds, as Go writes a duration.
    duration: u64,
}

#[derive(Serialize)]
struct Info {
    service: String,
    version: String,
    readiness: String,
    /// In seconds.
    uptime: u64,
}

#[async_trait]
impl Route for HealthRoute {
    async fn serve(&self, request: http::Request<Body>) -> Response<Body> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = text(
                StatusCode::METHOD_NOT_ALLOWED,
                "health is asked for with GET or HEAD\n",
            );
            refusal
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        let checks = match request.uri().path().trim_end_matches('/') {
            "/health/live" => Vec::new(),
            "/health" | "/health/ready" => self.0.check().await,
            _ => {
                return text(
                    StatusCode::NOT_FOUND,
                    "known here are /health, /health/live and /health/ready\n",
                );
            }
        };
        self.0.report(checks)
    }
}

impl Diagnostics {
    /// Whether the service serves, and what its checks say, all at once.
    pub(super) async fn check(&self) -> Vec<Checked> {
        let checks = self
            .0
            .checks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let readiness = self.readiness();
        let serves = match readiness {
            Readiness::Serving => Ok(()),
            other => Err(format!("the service is {other}")),
        };
        let mut checked = vec![Checked::new("readiness".into(), serves, Duration::ZERO)];
        checked.extend(join_all(checks.into_iter().map(|(name, check)| run(name, check))).await);
        checked
    }

    fn report(&self, checks: Vec<Checked>) -> Response<Body> {
        let is_up = checks.iter().all(Checked::is_up);
        let (service, version) = self.0.service.get().cloned().unwrap_or_default();
        let report = Report {
            status: status(is_up),
            checks,
            info: Info {
                service,
                version,
                readiness: self.readiness().to_string(),
                uptime: self.0.since.elapsed().as_secs(),
            },
        };
        let mut body = serde_json::to_vec(&report).unwrap_or_default();
        body.push(b'\n');
        let mut response = Response::new(Body::from(body));
        if !is_up {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl Checked {
    pub(super) fn is_up(&self) -> bool {
        self.error.is_none()
    }

    fn new(name: String, result: Result<(), String>, duration: Duration) -> Self {
        Self {
            name,
            status: status(result.is_ok()),
            error: result.err(),
            duration: u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

async fn run(name: String, check: Check) -> Checked {
    let since = Instant::now();
    // The check's own call may panic, too.
    let checking = AssertUnwindSafe(async { check().await }).catch_unwind();
    let result = match timeout(PATIENCE, checking).await {
        Ok(Ok(result)) => result.map_err(|error: Error| error.to_string()),
        Ok(Err(_)) => Err("the check panicked".to_owned()),
        Err(_) => Err(format!("the check took longer than {PATIENCE:?}")),
    };
    Checked::new(name, result, since.elapsed())
}

fn status(is_up: bool) -> &'static str {
    if is_up { "up" } else { "down" }
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
