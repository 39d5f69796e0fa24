//! How deep values are nested, told without recursion: they may be nested deeper than any stack is.

use serde_json::Value;

use crate::Document;
use crate::document::Content;
use crate::tree::DEEPEST;

/// Takes a value apart where it is nested deeper than so many levels. Dropping such a value, copying it or comparing
/// it could overflow the stack.
pub(crate) fn no_deeper(value: Value, levels: usize) -> Option<Value> {
    if is_deeper(&value, levels) {
        take_apart(value);
        return None;
    }
    Some(value)
}

/// Takes documents apart where the value of one is nested too deep, and says where that one is from.
pub(crate) fn not_too_deep(documents: Vec<Document>) -> Result<Vec<Document>, String> {
    let mut fit = Vec::with_capacity(documents.len());
    let mut too_deep = None;
    for mut document in documents {
        document.content = match document.content {
            Content::Value(value) => match no_deeper(value, DEEPEST) {
                Some(value) => Content::Value(value),
                None => {
                    too_deep.get_or_insert(document.origin);
                    continue;
                }
            },
            text @ Content::Text { .. } => text,
        };
        fit.push(document);
    }
    too_deep.map_or(Ok(fit), Err)
}

fn is_deeper(value: &Value, levels: usize) -> bool {
    let mut open = vec![(value, levels)];
    while let Some((value, levels)) = open.pop() {
        let Some(below) = levels.checked_sub(1) else {
            return true;
        };
        match value {
            Value::Array(values) => open.extend(values.iter().map(|value| (value, below))),
            Value::Object(values) => open.extend(values.values().map(|value| (value, below))),
            _ => {}
        }
    }
    false
}

fn take_apart(value: Value) {
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(values) => open.extend(values),
            Value::Object(values) => open.extend(values.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
}
