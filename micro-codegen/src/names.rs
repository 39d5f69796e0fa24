//! Names of the `.proto` as names of Rust, the same way as the message generator makes them.

use heck::{ToSnakeCase, ToUpperCamelCase};
use proc_macro2::TokenStream;
use prost_reflect::{EnumDescriptor, MessageDescriptor, OneofDescriptor};

use crate::{Error, Result};

/// A module, function or field.
pub(crate) fn snake(name: &str) -> String {
    escape(name.to_snake_case())
}

/// A type or variant.
pub(crate) fn camel(name: &str) -> String {
    escape(name.to_upper_camel_case())
}

fn escape(name: String) -> String {
    match name.as_str() {
        "_" | "super" | "self" | "Self" | "extern" | "crate" => format!("{name}_"),
        keyword if is_keyword(keyword) => format!("r#{name}"),
        digits if digits.starts_with(|first: char| first.is_numeric()) => format!("_{name}"),
        _ => name,
    }
}

/// The enum of a oneof, which gives way to a type of its name that is declared in the same message.
pub(crate) fn oneof_type(oneof: &OneofDescriptor) -> String {
    let name = camel(oneof.name());
    let message = oneof.parent_message();
    let messages = message.child_messages().map(|child| camel(child.name()));
    let enums = message.child_enums().map(|child| camel(child.name()));
    match messages.chain(enums).any(|other| other == name) {
        true => format!("{name}OneOf"),
        false => name,
    }
}

#[rustfmt::skip]
fn is_keyword(name: &str) -> bool {
    [
        "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn", "else",
        "enum", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
        "move", "mut", "override", "priv", "pub", "ref", "return", "static", "struct", "trait", "true", "try",
        "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
    ]
    .contains(&name)
}

/// The modules of a package.
pub(crate) fn modules(package: &str) -> Vec<String> {
    package
        .split('.')
        .filter(|part| !part.is_empty())
        .map(snake)
        .collect()
}

/// Where types are found from inside a package.
pub(crate) struct Paths<'a> {
    /// Types that come from elsewhere: their name in the `.proto`, with a leading dot, and their Rust path.
    pub(crate) elsewhere: &'a [(String, String)],
    /// Those of them that the user gave.
    pub(crate) given: &'a [(String, String)],
    /// The package in which the paths are used.
    pub(crate) package: &'a str,
}

impl Paths<'_> {
    pub(crate) fn message(&self, message: &MessageDescriptor) -> Result<TokenStream> {
        self.path(message.full_name(), message.package_name())
    }

    pub(crate) fn enumeration(&self, enumeration: &EnumDescriptor) -> Result<TokenStream> {
        self.path(enumeration.full_name(), enumeration.package_name())
    }

    /// The module of what is declared inside a message.
    pub(crate) fn inside(&self, message: &MessageDescriptor) -> Result<TokenStream> {
        let mut segments = self.relative(message.full_name(), message.package_name());
        segments.pop();
        segments.push(snake(message.name()));
        tokens(&segments.join("::"))
    }

    /// The name, without package, of one of Google's well-known types, unless it was given another place.
    pub(crate) fn well_known<'n>(&self, full_name: &'n str) -> Option<&'n str> {
        let name = full_name.strip_prefix("google.protobuf.")?;
        let dotted = format!(".{full_name}");
        let is_elsewhere = self.given.iter().any(|(name, _)| is_within(&dotted, name));
        (!is_elsewhere).then_some(name)
    }

    fn path(&self, full_name: &str, package: &str) -> Result<TokenStream> {
        let segments = self
            .external(full_name)
            .unwrap_or_else(|| self.relative(full_name, package));
        tokens(&segments.join("::"))
    }

    /// The path of a type that comes from elsewhere, by the longest name that is known.
    fn external(&self, full_name: &str) -> Option<Vec<String>> {
        let dotted = format!(".{full_name}");
        let (name, path) = self
            .elsewhere
            .iter()
            .filter(|(name, _)| is_within(&dotted, name))
            .max_by_key(|(name, _)| name.len())?;
        let mut segments = vec![path.clone()];
        segments.extend(type_path(dotted[name.len()..].trim_start_matches('.')));
        Some(segments)
    }

    fn relative(&self, full_name: &str, package: &str) -> Vec<String> {
        let (here, there) = (modules(self.package), modules(package));
        let shared = here
            .iter()
            .zip(&there)
            .take_while(|(here, there)| here == there)
            .count();
        let mut segments = vec!["super".to_owned(); here.len() - shared];
        segments.extend_from_slice(&there[shared..]);
        segments.extend(type_path(full_name[package.len()..].trim_start_matches('.')));
        segments
    }
}

/// Whether a name, with a leading dot, is this one or lies inside it.
pub(crate) fn is_within(name: &str, outer: &str) -> bool {
    name.strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// `Outer.Inner` as `outer`, `Inner`.
fn type_path(name: &str) -> Vec<String> {
    let mut parts: Vec<&str> = name.split('.').filter(|part| !part.is_empty()).collect();
    let Some(last) = parts.pop() else {
        return Vec::new();
    };
    parts.into_iter().map(snake).chain([camel(last)]).collect()
}

/// Parses Rust source that was put together from names.
pub(crate) fn tokens(source: &str) -> Result<TokenStream> {
    source
        .parse()
        .map_err(|problem| Error::new(format!("{source:?} is not a Rust path: {problem}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_escaped_as_raw_names_where_rust_allows_it() {
        assert_eq!(
            (snake("Type"), snake("self"), camel("self")),
            ("r#type".into(), "self_".into(), "Self_".into())
        );
    }

    #[test]
    fn a_type_of_another_package_is_found_over_the_shared_one() {
        let paths = Paths {
            elsewhere: &[],
            given: &[],
            package: "shop.cart.v1",
        };
        let path = paths.path("shop.money.Price.Unit", "shop.money").unwrap();
        assert_eq!(path.to_string(), "super :: super :: money :: price :: Unit");
    }

    #[test]
    fn the_longest_external_name_wins() {
        let elsewhere = [
            (".a".to_owned(), "::one".to_owned()),
            (".a.b.C".to_owned(), "::two::C".to_owned()),
        ];
        let paths = Paths {
            elsewhere: &elsewhere,
            given: &elsewhere,
            package: "x",
        };
        assert_eq!(paths.path("a.b.C", "a.b").unwrap().to_string(), ":: two :: C");
        assert_eq!(
            paths.path("a.b.D", "a.b").unwrap().to_string(),
            ":: one :: b :: D"
        );
        assert_eq!(paths.path("ab.D", "ab").unwrap().to_string(), "super :: ab :: D");
    }
}
