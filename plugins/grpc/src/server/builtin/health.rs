//! `grpc.health.v1.Health`.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use micro_core::debug::{Diagnostics, Readiness};
use micro_core::{Body, Error, Request, Response, Result};
use prost::Message;
use tokio::time::sleep;

use super::super::call::SERVER;
use super::reflection::Files;
use super::{check_format, decode};

/// How often a watched service is looked at.
const LOOK: Duration = Duration::from_secs(1);

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;
const SERVICE_UNKNOWN: i32 = 3;

#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// An entry of the map in the answer of `List`.
#[derive(Clone, PartialEq, Message)]
struct Listed {
    #[prost(string, tag = "1")]
    service: String,
    #[prost(message, optional, tag = "2")]
    status: Option<HealthCheckResponse>,
}

#[derive(Clone, PartialEq, Message)]
struct HealthListResponse {
    #[prost(message, repeated, tag = "1")]
    statuses: Vec<Listed>,
}

pub(super) async fn answer(
    diagnostics: &Diagnostics,
    files: &Files,
    mut request: Request,
) -> Result<Response> {
    check_format(&request)?;
    let (body, endpoint) = (request.take_body(), request.endpoint.clone());
    drop(request);
    let asked = async {
        let message = body.single().await?;
        decode::<HealthCheckRequest>(&message, &endpoint)
    };
    match endpoint.as_str() {
        "Health.Check" => {
            let asked = asked.await?;
            if !is_known(diagnostics, files, &asked.service) {
                return Err(Error::not_found(
                    SERVER,
                    format!("Health.Check: the service {:?} is not here", asked.service),
                ));
            }
            Ok(Response::new(encoded(status(diagnostics).await)))
        }
        "Health.List" => {
            let status = status(diagnostics).await;
            let names = ["", diagnostics.service()].into_iter().chain(files.services());
            let mut names: Vec<&str> = names.collect();
            names.sort_unstable();
            names.dedup();
            let statuses = names.into_iter().map(|name| Listed {
                service: name.to_owned(),
                status: Some(HealthCheckResponse { status }),
            });
            let statuses = statuses.collect();
            Ok(Response::new(HealthListResponse { statuses }.encode_to_vec()))
        }
        "Health.Watch" => {
            let asked = asked.await?;
            let is_known = is_known(diagnostics, files, &asked.service);
            Ok(Response::new(Body::stream(Watch::new(
                diagnostics.clone(),
                is_known,
            ))))
        }
        other => Err(Error::not_found(
            SERVER,
            format!(
                "rpc: can't find method {other}; grpc.health.v1 has Health.Check, Health.List and Health.Watch"
            ),
        )),
    }
}

fn is_known(diagnostics: &Diagnostics, files: &Files, service: &str) -> bool {
    service.is_empty() || service == diagnostics.service() || files.services().any(|known| known == service)
}

async fn status(diagnostics: &Diagnostics) -> i32 {
    match diagnostics.is_well().await {
        true => SERVING,
        false => NOT_SERVING,
    }
}

fn encoded(status: i32) -> Bytes {
    HealthCheckResponse { status }.encode_to_vec().into()
}

type Looking = Pin<Box<dyn Future<Output = Option<i32>> + Send>>;

/// The status now, and whenever it is another one; over when the service stops.
struct Watch {
    diagnostics: Diagnostics,
    is_known: bool,
    told: Option<i32>,
    looking: Option<Looking>,
}

impl Watch {
    fn new(diagnostics: Diagnostics, is_known: bool) -> Self {
        let mut watch = Self {
            diagnostics,
            is_known,
            told: None,
            looking: None,
        };
        watch.looking = Some(watch.look(Duration::ZERO));
        watch
    }

    fn look(&self, pause: Duration) -> Looking {
        let (diagnostics, is_known) = (self.diagnostics.clone(), self.is_known);
        Box::pin(async move {
            tokio::select! {
                () = diagnostics.closing() => return None,
                () = sleep(pause) => {}
            }
            // A service that stops says so before its streams end; its checks do not count any more.
            match is_known {
                false => Some(SERVICE_UNKNOWN),
                true if diagnostics.readiness() == Readiness::Draining => Some(NOT_SERVING),
                true => Some(status(&diagnostics).await),
            }
        })
    }
}

impl Stream for Watch {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let watch = self.get_mut();
        while let Some(looking) = &mut watch.looking {
            let status = ready!(looking.as_mut().poll(context));
            let Some(status) = status else {
                watch.looking = None;
                if watch.told != Some(NOT_SERVING) && watch.is_known {
                    return Poll::Ready(Some(Ok(encoded(NOT_SERVING))));
                }
                break;
            };
            watch.looking = Some(watch.look(LOOK));
            if watch.told != Some(status) {
                watch.told = Some(status);
                return Poll::Ready(Some(Ok(encoded(status))));
            }
        }
        Poll::Ready(None)
    }
}
