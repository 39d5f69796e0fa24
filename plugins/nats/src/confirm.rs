//! Publishing to JetStream, and hearing that it has a message.
//!
//! A request like any other: the client library's way to publish to JetStream would read each confirmation into more
//! than is asked for here, with a place in a queue and a time-out of its own.

use std::sync::atomic::{AtomicU64, Ordering};

use async_nats::client::{Request, RequestError, RequestErrorKind};
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use micro_nats_connection::NatsConnection;

/// What a confirmation begins with. Anything else is read more closely.
const CONFIRMED: &[u8] = b"{\"stream\":";

/// Publishes messages and waits until JetStream has them.
pub(crate) struct Confirmations {
    connection: NatsConnection,
    /// What no other process's messages have.
    prefix: String,
    next: AtomicU64,
}

/// Why a message is not confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unconfirmed {
    /// The connection was lost meanwhile. It may have arrived.
    Lost,
    /// Nobody takes messages of this topic: it is in no stream.
    NoStream,
    /// It is larger than the server takes.
    TooLarge,
    /// JetStream does not want it, or its answer is none.
    Refused(String),
}

impl Confirmations {
    pub(crate) fn new(connection: NatsConnection) -> Self {
        Self {
            prefix: connection.unique(),
            connection,
            next: AtomicU64::new(0),
        }
    }

    /// The id of a new message, by which the stream drops what it has already when it is sent again.
    pub(crate) fn id(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}", self.prefix)
    }

    /// Sends a message and waits until JetStream has it. Sets no limit on the time. Cancelled, it may have arrived.
    pub(crate) async fn publish(&self, topic: Subject, payload: Bytes, id: &str) -> Result<(), Unconfirmed> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, id);
        let request = Request::new().payload(payload).headers(headers).timeout(None);
        let losses = self.connection.losses();
        tokio::select! {
            // What was confirmed before the connection was lost is confirmed.
            biased;
            answer = self.connection.client().send_request(topic, request) => match answer {
                Ok(answer) => judge(&answer.payload),
                Err(problem) => Err(unconfirmed(&problem)),
            },
            () = self.connection.lost(losses) => Err(Unconfirmed::Lost),
        }
    }
}

fn unconfirmed(problem: &RequestError) -> Unconfirmed {
    match problem.kind() {
        RequestErrorKind::NoResponders => Unconfirmed::NoStream,
        RequestErrorKind::MaxPayloadExceeded => Unconfirmed::TooLarge,
        RequestErrorKind::InvalidSubject => Unconfirmed::Refused(problem.to_string()),
        RequestErrorKind::TimedOut | RequestErrorKind::Other => Unconfirmed::Lost,
    }
}

/// What an answer says of a message.
fn judge(payload: &[u8]) -> Result<(), Unconfirmed> {
    if payload.starts_with(CONFIRMED) {
        return Ok(());
    }
    match serde_json::from_slice(payload) {
        Ok(Response::<PublishAck>::Ok(_)) => Ok(()),
        Ok(Response::Err { error }) => Err(Unconfirmed::Refused(error.to_string())),
        Err(problem) => Err(Unconfirmed::Refused(format!(
            "its answer is no confirmation: {problem}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        for confirmed in [
            r#"{"stream":"orders","seq":7}"#,
            r#"{"stream":"orders","seq":7,"duplicate": true}"#,
            r#"{"seq":7,"domain":"d","stream":"orders"}"#,
        ] {
            assert_eq!(judge(confirmed.as_bytes()), Ok(()), "{confirmed}");
        }
        let full = r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"orders","seq":0}"#;
        let Err(Unconfirmed::Refused(why)) = judge(full.as_bytes()) else {
            panic!("{full}");
        };
        assert!(why.contains("maximum messages exceeded"), "{why}");
        for nonsense in ["", "+OK", "{}", "[]"] {
            let judged = judge(nonsense.as_bytes());
            assert!(
                matches!(judged, Err(Unconfirmed::Refused(_))),
                "{nonsense}: {judged:?}"
            );
        }
    }
}
