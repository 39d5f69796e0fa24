//! `application/json-rpc`: JSON-RPC 1.0 as Go Micro writes it.

use ::bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json::{read, unwritable, write_line};
use super::{Codec, Envelope, JSON_RPC, Opening, Payload, Role, Slot, malformed, no_view};
use crate::error::SERVER;
use crate::{Error, Result, Text};

/// JSON-RPC 1.0: `params` is an array of one, ids are written as strings, and values of generated types are
/// written as Go's own JSON, which is not the canonical one.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonRpcCodec;

#[derive(Serialize)]
struct Request<'a> {
    params: [&'a RawValue; 1],
    id: &'a str,
    method: &'a str,
}

#[derive(Serialize)]
struct Response<'a> {
    id: &'a str,
    result: Option<&'a RawValue>,
    error: Option<&'a str>,
}

/// What may be in a body, of either direction. Unknown fields are ignored.
#[derive(Deserialize)]
struct Received<'a> {
    #[serde(default)]
    id: serde_json::Value,
    #[serde(default)]
    method: Option<String>,
    #[serde(borrow, default)]
    params: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

impl Codec for JsonRpcCodec {
    fn content_type(&self) -> Text {
        JSON_RPC
    }

    fn encode(&self, payload: &dyn Payload, envelope: &Envelope<'_>) -> Result<Bytes> {
        let type_name = payload.type_name();
        let failed = |problem| unwritable(&JSON_RPC, type_name, &problem);
        let view = payload
            .serde()
            .ok_or_else(|| no_view(&JSON_RPC, type_name, "serde"))?;
        let value = match payload.message_schema() {
            Some(schema) => {
                let canonical = serde_json::to_value(view).map_err(failed)?;
                serde_json::value::to_raw_value(&schema.to_go_json(canonical)).map_err(failed)?
            }
            None => serde_json::value::to_raw_value(view).map_err(failed)?,
        };
        let Envelope { id, endpoint, .. } = *envelope;
        match envelope.role {
            Role::Request => write_line(&Request {
                params: [&value],
                id,
                method: endpoint,
            }),
            Role::Response => write_line(&Response {
                id,
                result: Some(&value),
                error: None,
            }),
            Role::Event => write_line(&*value),
        }
        .map_err(failed)
    }

    fn decode(&self, body: Bytes, slot: &mut dyn Slot, role: Role) -> Result<()> {
        if body.is_empty() && slot.protobuf().is_some() {
            return Ok(());
        }
        let received = match role {
            Role::Event => return read(&JSON_RPC, &body, slot),
            Role::Request | Role::Response => receive(&body, slot.type_name())?,
        };
        if let Some(error) = received.error.filter(|error| !error.is_null()) {
            let text = error.as_str().map_or_else(|| error.to_string(), str::to_owned);
            return Err(Error::from_wire(&text));
        }
        let value = match role {
            Role::Request => received.params.and_then(|params| params.first().copied()),
            Role::Response | Role::Event => received.result,
        };
        match value {
            Some(value) if value.get() != "null" => read(&JSON_RPC, value.get().as_bytes(), slot),
            _ if slot.protobuf().is_some() => Ok(()),
            _ => read(&JSON_RPC, b"null", slot),
        }
    }

    fn open(&self, body: &Bytes) -> Result<Option<Opening>> {
        if body.is_empty() {
            return Ok(None);
        }
        let received = receive(body, "request")?;
        let id = match received.id {
            serde_json::Value::Null => Text::new(),
            serde_json::Value::String(id) => id.into(),
            serde_json::Value::Number(id) => id.to_string().into(),
            other => {
                return Err(Error::bad_request(
                    SERVER,
                    format!("json-rpc id is neither text nor number: {other}"),
                ));
            }
        };
        Ok(Some(Opening {
            endpoint: received.method.unwrap_or_default().into(),
            id,
        }))
    }
}

/// A response that carries an error. Go Micro leaves its id empty, too.
pub(super) fn error_body(text: &str) -> Bytes {
    let response = Response {
        id: "",
        result: None,
        error: Some(text),
    };
    write_line(&response).unwrap_or_default()
}

fn receive<'a>(body: &'a Bytes, type_name: &str) -> Result<Received<'a>> {
    serde_json::from_slice(body).map_err(|problem| malformed(&JSON_RPC, type_name, problem))
}
