//! Reads `google.api.http`, which says how a method is reached over HTTP.

use prost_reflect::{DynamicMessage, MethodDescriptor, ReflectMessage, Value};

/// The number of the extension `google.api.http` of a method's options.
const HTTP_EXTENSION: u32 = 72_295_728;

/// How a gateway reaches a method.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) method: String,
    pub(crate) paths: Vec<String>,
    pub(crate) body: String,
    /// Additional bindings that a registry record cannot express beside the first.
    pub(crate) left_out: Vec<String>,
}

/// The route of a method, where it has one.
pub(crate) fn route(method: &MethodDescriptor) -> Option<Route> {
    let options = method.options();
    let extension = options.descriptor().get_extension(HTTP_EXTENSION)?;
    if !options.has_extension(&extension) {
        return None;
    }
    let rule = options.get_extension(&extension).as_message()?.clone();
    let (verb, path) = pattern(&rule)?;
    let mut route = Route {
        method: verb,
        paths: vec![path],
        body: text(&rule, "body"),
        left_out: Vec::new(),
    };
    for binding in bindings(&rule) {
        let Some((verb, path)) = pattern(&binding) else {
            continue;
        };
        if verb == route.method && text(&binding, "body") == route.body {
            route.paths.push(path);
        } else {
            route.left_out.push(format!("{verb} {path}"));
        }
    }
    Some(route)
}

fn pattern(rule: &DynamicMessage) -> Option<(String, String)> {
    for verb in ["get", "put", "post", "delete", "patch"] {
        let path = text(rule, verb);
        if !path.is_empty() {
            return Some((verb.to_ascii_uppercase(), path));
        }
    }
    let custom = rule.get_field_by_name("custom")?;
    let custom = custom.as_message()?;
    let (kind, path) = (text(custom, "kind"), text(custom, "path"));
    (!path.is_empty()).then_some((kind, path))
}

fn bindings(rule: &DynamicMessage) -> Vec<DynamicMessage> {
    let Some(bindings) = rule.get_field_by_name("additional_bindings") else {
        return Vec::new();
    };
    let messages = |values: &[Value]| {
        values
            .iter()
            .filter_map(|value| value.as_message().cloned())
            .collect()
    };
    bindings.as_list().map(messages).unwrap_or_default()
}

fn text(message: &DynamicMessage, field: &str) -> String {
    message
        .get_field_by_name(field)
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}
