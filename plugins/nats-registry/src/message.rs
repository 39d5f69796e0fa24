//! What is said over NATS: questions, answers and changes, in Go Micro's JSON.

use bytes::Bytes;
use micro_core::Result;
use micro_core::registry::{Action, Change, ServiceRecord};
use serde::{Deserialize, Serialize};

use crate::error;

/// A question or a change.
#[derive(Serialize, Deserialize)]
struct Said {
    #[serde(rename = "Service", alias = "service", default)]
    service: Option<ServiceRecord>,
    #[serde(rename = "Action", alias = "action", default)]
    action: String,
}

/// What somebody wants to know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// The records of a service.
    Get(String),
    /// All records.
    List,
}

pub(crate) fn write_question(question: &Question) -> Result<Bytes> {
    let (service, action) = match question {
        Question::Get(name) => {
            let service = ServiceRecord {
                name: name.clone(),
                ..ServiceRecord::default()
            };
            (Some(service), "get")
        }
        Question::List => (None, "list"),
    };
    let action = action.to_owned();
    write(&Said { service, action }, "a question")
}

/// None: it is no question.
pub(crate) fn read_question(bytes: &[u8]) -> Option<Question> {
    let said: Said = serde_json::from_slice(bytes).ok()?;
    match (said.action.as_str(), said.service) {
        ("get", Some(service)) => Some(Question::Get(service.name)),
        ("list", _) => Some(Question::List),
        _ => None,
    }
}

/// Says that nodes came, or that they are gone: then without their endpoints.
pub(crate) fn write_change(action: Action, record: &ServiceRecord) -> Result<Bytes> {
    let mut service = record.clone();
    if action == Action::Delete {
        service.endpoints.clear();
    }
    let action = action.as_str().to_owned();
    let name = service.name.clone();
    let service = Some(service);
    write(&Said { service, action }, &name)
}

/// None: it is no change.
pub(crate) fn read_change(bytes: &[u8]) -> Option<Change> {
    let said: Said = serde_json::from_slice(bytes).ok()?;
    let action = match said.action.as_str() {
        "create" => Action::Create,
        "update" => Action::Update,
        "delete" => Action::Delete,
        _ => return None,
    };
    let service = said.service?;
    Some(Change { action, service })
}

pub(crate) fn write_record(record: &ServiceRecord) -> Result<Bytes> {
    write(record, &record.name)
}

pub(crate) fn read_record(bytes: &[u8]) -> Option<ServiceRecord> {
    serde_json::from_slice(bytes).ok()
}

fn write(value: &impl Serialize, name: &str) -> Result<Bytes> {
    let text = serde_json::to_vec(value).map_err(|problem| error::refused(name, problem))?;
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use micro_core::registry::Node;

    use super::*;

    #[test]
    fn questions_are_as_go_asks_them() {
        let rows = [
            (
                Question::Get("interop.greeter".into()),
                r#"{"Service":{"name":"interop.greeter","version":"","metadata":null,"endpoints":null,"nodes":null},"Action":"get"}"#,
            ),
            (Question::List, r#"{"Service":null,"Action":"list"}"#),
        ];
        for (question, captured) in rows {
            assert_eq!(write_question(&question).unwrap(), captured);
            assert_eq!(read_question(captured.as_bytes()), Some(question));
        }
    }

    #[test]
    fn a_deletion_is_as_go_says_it() {
        let captured = r#"{"Service":{"name":"interop.greeter","version":"1.0.0","metadata":null,"endpoints":null,"nodes":[{"metadata":null,"id":"interop.greeter-node-1","address":"my.nats.addr"}]},"Action":"delete"}"#;
        let change = read_change(captured.as_bytes()).unwrap();
        assert_eq!(change.action, Action::Delete);
        assert_eq!(
            change.service.nodes[0],
            Node::new("interop.greeter-node-1", "my.nats.addr")
        );
        assert_eq!(write_change(Action::Delete, &change.service).unwrap(), captured);
        let created = captured.replace("delete", "create");
        assert_eq!(write_change(Action::Create, &change.service).unwrap(), created);
        let record = write_record(&change.service).unwrap();
        assert_eq!(read_record(&record), Some(change.service));
    }

    #[test]
    fn what_is_something_else_is_left_out() {
        for other in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"Service":null,"Action":"get"}"#,
            r#"{"Action":7}"#,
        ] {
            assert_eq!(read_question(other.as_bytes()), None, "{other}");
            assert_eq!(read_change(other.as_bytes()), None, "{other}");
        }
        let nobody = br#"{"Service":null,"Action":"create"}"#;
        assert_eq!(read_change(nobody), None);
    }
}
