//! Numbers, truth values and texts, each read as another where a type asks for it.

use serde::de::Visitor;
use serde_json::Number;

use super::Problem;
use crate::tree::{Node, Place, Tree};

/// Hands over a number.
pub(super) fn number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, Problem> {
    if let Some(number) = number.as_u64() {
        visitor.visit_u64(number)
    } else if let Some(number) = number.as_i64() {
        visitor.visit_i64(number)
    } else {
        visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN))
    }
}

/// Hands over the number that a text says, or the text.
pub(super) fn number_in<'de, V: Visitor<'de>>(text: &str, visitor: V) -> Result<V::Value, Problem> {
    let said = text.trim();
    if let Ok(number) = said.parse() {
        visitor.visit_u64(number)
    } else if let Ok(number) = said.parse() {
        visitor.visit_i64(number)
    } else if let Ok(number) = said.parse() {
        visitor.visit_f64(number)
    } else {
        visitor.visit_str(text)
    }
}

/// What a value says where true or false is asked for.
pub(super) fn truth_of(node: &Node) -> Option<bool> {
    match node {
        Node::Bool(value) => Some(*value),
        Node::Number(number) => match number.as_u64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Node::Text(text) => match text.trim() {
            "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
            "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// What is between the commas of a text. An empty text has nothing.
pub(super) fn parts(text: &str, place: &Place) -> Vec<Tree> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    let parts = text.split(',').map(str::trim);
    parts
        .map(|part| Tree::new(Node::Text(part.to_owned()), place.clone()))
        .collect()
}
