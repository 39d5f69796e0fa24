//! Every node of one service, or of all: what each answers to the same question.

use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use micro::client::CallOptions;
use micro::codec::JSON;
use micro::registry::{Node, ServiceRecord};
use micro::{Client, Error, Request};
use serde::Serialize;
use serde_json::Value;

use crate::failure::{Code, Failure, Outcome, is_unknown_endpoint};
use crate::network::Network;

/// How many nodes are asked at once.
pub(crate) const AT_ONCE: usize = 32;
/// A node that takes longer is not well, however long calls may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The service that Go Micro's HTTP broker registers subscriptions as.
const SUBSCRIPTIONS: &str = "micro.http.broker";

/// A node, and of what it is one.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) service: String,
    pub(crate) version: String,
    pub(crate) node: Node,
}

/// What a node answered, and how long that took.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) place: Place,
    pub(crate) result: Result<Value, Silence>,
    pub(crate) took: Duration,
}

/// Why a node gave no answer to the question.
#[derive(Debug)]
pub(crate) enum Silence {
    /// It answered that it has no debug endpoints, so it is there.
    NoDebug,
    /// Nobody answered at its address.
    Unreachable(Error),
    /// It answered something else.
    Refused(Error),
}

impl Silence {
    /// What the error of a call to a node's debug endpoints says of the node.
    pub(crate) fn of(error: Error) -> Self {
        if is_unknown_endpoint(&error) {
            return Self::NoDebug;
        }
        if error.is_never_started() || error.is_unanswered() {
            return Self::Unreachable(error);
        }
        Self::Refused(error)
    }

    /// In a few words.
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::NoDebug => "answers, no Debug handler".to_owned(),
            Self::Unreachable(error) => {
                // The client says first which node it was, and that stands beside this already.
                let detail = error.detail();
                let reason = detail.split_once("): ").map_or(detail, |(_, reason)| reason);
                format!("unreachable: {}", reason.trim_start_matches("connection error: "))
            }
            Self::Refused(error) => format!("refused: {error}"),
        }
    }
}

/// The nodes of one service, or of all.
pub(crate) async fn places(network: &Network, service: Option<&str>) -> Outcome<Vec<Place>> {
    let records = network.records(service).await?;
    // Subscriptions of the HTTP broker are registered, too, but serve nothing else.
    let is_asked = |record: &ServiceRecord| service.is_some() || record.name != SUBSCRIPTIONS;
    let places = records.into_iter().filter(is_asked).flat_map(|record| {
        let (service, version) = (record.name, record.version);
        record.nodes.into_iter().map(move |node| Place {
            service: service.clone(),
            version: version.clone(),
            node,
        })
    });
    let mut places: Vec<Place> = places.collect();
    let key = |place: &Place| {
        (
            place.service.clone(),
            place.version.clone(),
            place.node.id.clone(),
        )
    };
    places.sort_by_key(key);
    Ok(places)
}

/// Asks every node the same; the answers come in the order of the places.
pub(crate) async fn ask_all(
    network: &Network,
    places: Vec<Place>,
    endpoint: &str,
    body: &str,
) -> Outcome<Vec<Answer>> {
    let client = network.client().await?;
    let patience = network.patience().min(PATIENCE);
    let asked = places
        .into_iter()
        .map(|place| ask(client, place, endpoint, body, patience));
    Ok(stream::iter(asked).buffered(AT_ONCE).collect().await)
}

async fn ask(client: &Client, place: Place, endpoint: &str, body: &str, patience: Duration) -> Answer {
    let client = client.with_options(CallOptions {
        timeout: Some(patience),
        retries: Some(0),
        addresses: vec![place.node.address.clone()],
        ..CallOptions::default()
    });
    let mut request = Request::new(&place.service, endpoint, body.as_bytes().to_vec());
    request.content_type = JSON;
    let began = Instant::now();
    let answer = match client.request(request).await {
        Ok(response) => response.body.single().await,
        Err(error) => Err(error),
    };
    let took = began.elapsed();
    let read = |body: bytes::Bytes| {
        serde_json::from_slice(&body).map_err(|problem| {
            let detail = format!("{endpoint} answered what is no JSON: {problem}");
            Silence::Refused(Error::client(500, detail))
        })
    };
    let result = answer.map_err(Silence::of).and_then(read);
    Answer { place, result, took }
}

/// A number that may have come as text, as 64 bits do in protobuf's JSON. Missing is zero there.
pub(crate) fn number(answer: &Value, name: &str) -> u64 {
    match &answer[name] {
        Value::String(digits) => digits.parse().unwrap_or(0),
        value => value.as_u64().unwrap_or(0),
    }
}

/// An answer for programs.
#[derive(Serialize)]
struct Row<'a> {
    service: &'a str,
    version: &'a str,
    node: &'a str,
    address: &'a str,
    milliseconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// All answers, for programs.
pub(crate) fn as_json(answers: &[Answer]) -> String {
    let rows = answers.iter().map(|Answer { place, result, took }| Row {
        service: &place.service,
        version: &place.version,
        node: &place.node.id,
        address: &place.node.address,
        milliseconds: (took.as_secs_f64() * 1e6).round() / 1e3,
        answer: result.as_ref().ok(),
        error: result.as_ref().err().map(Silence::summary),
    });
    serde_json::to_string(&rows.collect::<Vec<_>>()).unwrap_or_default()
}

/// The outcome for scripts, of all answers: unreachable nodes first, then those that refused.
pub(crate) fn outcome(answers: &[Answer]) -> Outcome {
    let any = |is: fn(&Silence) -> bool| {
        answers
            .iter()
            .filter_map(|answer| answer.result.as_ref().err())
            .any(is)
    };
    if any(|silence| matches!(silence, Silence::Unreachable(_))) {
        return Err(Failure::Shown(Code::Unreachable));
    }
    if any(|silence| matches!(silence, Silence::Refused(_))) {
        return Err(Failure::Shown(Code::Failed));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_read_as_either_json_has_them() {
        let answer = json!({"a": 7, "b": "18446744073709551615", "c": null, "d": "x"});
        let numbers = ["a", "b", "c", "d", "e"].map(|name| number(&answer, name));
        assert_eq!(numbers, [7, u64::MAX, 0, 0, 0]);
    }

    #[test]
    fn a_node_without_debug_endpoints_is_there() {
        for text in [
            "rpc: can't find service Debug",
            "rpc: can't find method Stats; Debug has Health",
        ] {
            assert!(matches!(Silence::of(Error::from_wire(text)), Silence::NoDebug));
        }
        assert!(matches!(
            Silence::of(Error::client(503, "refused").never_started()),
            Silence::Unreachable(_)
        ));
        assert!(matches!(
            Silence::of(Error::forbidden("x", "no")),
            Silence::Refused(_)
        ));
    }
}
