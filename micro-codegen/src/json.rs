//! Canonical JSON of the messages: pbjson's implementations, made to stand in any crate.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use prost_reflect::FileDescriptor;
use prost_types::{DescriptorProto, FileDescriptorProto};
use quote::quote;

use crate::{Builder, Error, Result};

/// Stands around all packages where some file has none, which pbjson cannot express.
const AROUND: &str = ".proto";

/// Writes the serde implementations for the messages and enumerations of some files, by package.
pub(crate) fn implementations(
    builder: &Builder,
    elsewhere: &[(String, String)],
    all: &[FileDescriptor],
    wanted: &[FileDescriptor],
) -> Result<BTreeMap<String, String>> {
    let around = match all.iter().any(|file| file.package_name().is_empty()) {
        true => AROUND,
        false => "",
    };
    let mut generator = pbjson_build::Builder::new();
    for file in all {
        let mut file = file.file_descriptor_proto().clone();
        if !around.is_empty() {
            put_inside(around, &mut file);
        }
        generator.register_file_descriptor(file);
    }
    for (name, path) in elsewhere {
        generator.extern_path(format!("{around}{name}"), path);
    }
    generator.btree_map(builder.btree_maps.iter().map(|path| match path.starts_with('.') {
        true => format!("{around}{path}"),
        false => path.clone(),
    }));
    if builder.ignore_unknown_fields {
        generator.ignore_unknown_fields();
    }
    let mut packages = BTreeMap::new();
    for file in wanted {
        packages
            .entry(file.package_name().to_owned())
            .or_insert_with(String::new)
            .push_str(&of_file(&generator, around, file)?);
    }
    Ok(packages)
}

fn of_file(generator: &pbjson_build::Builder, around: &str, file: &FileDescriptor) -> Result<String> {
    let messages = file.messages().map(|message| message.full_name().to_owned());
    let enums = file.enums().map(|enumeration| enumeration.full_name().to_owned());
    let names: Vec<String> = messages
        .chain(enums)
        .map(|name| format!("{around}.{name}"))
        .collect();
    let failed =
        |problem: String| Error::new(format!("{}: cannot write the JSON form: {problem}", file.name()));
    let parts = generator
        .generate(&names, |_| Ok(Vec::new()))
        .map_err(|problem| failed(problem.to_string()))?;
    let mut source = String::new();
    for (_, part) in parts {
        source.push_str(&String::from_utf8(part).map_err(|problem| failed(problem.to_string()))?);
    }
    Ok(source)
}

/// Moves a file, and what it refers to, into a package around its own.
fn put_inside(around: &str, file: &mut FileDescriptorProto) {
    let package = match file.package() {
        "" => around.to_owned(),
        package => format!("{around}.{package}"),
    };
    file.package = Some(package.trim_start_matches('.').to_owned());
    for message in &mut file.message_type {
        refer_inside(around, message);
    }
}

fn refer_inside(around: &str, message: &mut DescriptorProto) {
    for name in message
        .field
        .iter_mut()
        .filter_map(|field| field.type_name.as_mut())
    {
        name.insert_str(0, around);
    }
    for nested in &mut message.nested_type {
        refer_inside(around, nested);
    }
}

/// Makes what pbjson wrote independent of what is called `serde`, `pbjson`, `std` or `Vec` where it will stand, and
/// lets `null` stand for a field's default, as canonical JSON does.
pub(crate) fn adapted(tokens: TokenStream, root: &TokenStream) -> TokenStream {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut output: Vec<TokenTree> = Vec::with_capacity(tokens.len());
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        let rest = &tokens[index + 1..];
        match token {
            TokenTree::Group(group) => output.push(adapted_group(group, root)),
            TokenTree::Ident(ident) if *ident == "gen" => {
                output.push(Ident::new_raw("gen", ident.span()).into());
            }
            TokenTree::Ident(ident) if *ident == "Vec" && is_punct(rest.first(), '<') => {
                if ends_with_separator(&output) {
                    output.push(token.clone());
                } else {
                    output.extend(quote!(::std::vec::Vec));
                }
            }
            TokenTree::Ident(ident) if *ident == "Some" => match rest.first().and_then(null_as_default) {
                Some(replacement) => {
                    output.extend(adapted(replacement, root));
                    index += 1;
                }
                None => output.push(token.clone()),
            },
            TokenTree::Ident(ident) => match foreign(ident, rest, root) {
                Some(path) if !is_inner_segment(&output) => {
                    if ends_with_separator(&output) {
                        output.truncate(output.len() - 2);
                    }
                    output.extend(path);
                }
                _ => output.push(token.clone()),
            },
            _ => output.push(token.clone()),
        }
        index += 1;
    }
    output.into_iter().collect()
}

fn adapted_group(group: &Group, root: &TokenStream) -> TokenTree {
    Group::new(group.delimiter(), adapted(group.stream(), root)).into()
}

/// The path that takes the place of a crate's name. What follows is looked at, so that a module that is called
/// like a crate is left alone.
fn foreign(ident: &Ident, rest: &[TokenTree], root: &TokenStream) -> Option<TokenStream> {
    let [first, second, TokenTree::Ident(next), ..] = rest else {
        return None;
    };
    if !is_punct(Some(first), ':') || !is_punct(Some(second), ':') {
        return None;
    }
    let next = next.to_string();
    let is = |known: &[&str]| known.contains(&next.as_str());
    match ident.to_string().as_str() {
        "serde"
            if is(&[
                "Serialize",
                "Serializer",
                "Deserialize",
                "Deserializer",
                "ser",
                "de",
            ]) =>
        {
            Some(quote!(#root::codegen::serde))
        }
        "pbjson" if is(&["private"]) => Some(quote!(#root::codegen::pbjson)),
        "std" if is(&["result", "fmt", "collections", "option"]) => Some(quote!(::std)),
        _ => None,
    }
}

/// Rewrites what stands in `Some(map_.next_value::<T>()? …)` so that `null` gives `None`.
fn null_as_default(token: &TokenTree) -> Option<TokenStream> {
    let TokenTree::Group(group) = token else {
        return None;
    };
    if group.delimiter() != Delimiter::Parenthesis {
        return None;
    }
    let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
    let [TokenTree::Ident(map), dot, TokenTree::Ident(call), after @ ..] = tokens.as_slice() else {
        return None;
    };
    if *map != "map_" || !is_punct(Some(dot), '.') || *call != "next_value" {
        return None;
    }
    let open = after
        .iter()
        .position(|token| matches!(token, TokenTree::Group(group) if group.stream().is_empty()))?;
    let kind: TokenStream = match after.get(..open)? {
        [] => quote!(_),
        [_, _, _, kind @ .., _] => kind.iter().cloned().collect(),
        _ => return None,
    };
    // After the parentheses comes `?`, then what is done with the value.
    let use_of_value: TokenStream = after.get(open + 2..)?.iter().cloned().collect();
    let value = Ident::new("value", Span::call_site());
    let mapped = (!use_of_value.is_empty()).then(|| quote!(.map(|#value| #value #use_of_value)));
    Some(quote!(map_.next_value::<::std::option::Option<#kind>>()? #mapped))
}

fn is_punct(token: Option<&TokenTree>, character: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}

fn ends_with_separator(output: &[TokenTree]) -> bool {
    let [.., first, second] = output else {
        return false;
    };
    is_punct(Some(first), ':') && is_punct(Some(second), ':')
}

/// Whether what comes next is a later segment of a path, such as `serde` in `other::serde`.
fn is_inner_segment(output: &[TokenTree]) -> bool {
    ends_with_separator(output)
        && matches!(
            output.len().checked_sub(3).and_then(|before| output.get(before)),
            Some(TokenTree::Ident(_))
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(source: &str) -> String {
        let printed = adapted(source.parse().unwrap(), &quote!(::micro)).to_string();
        printed.replace(' ', "")
    }

    #[test]
    fn crates_are_reached_through_the_root() {
        assert_eq!(
            rewritten("serde::de::Error"),
            "::micro::codegen::serde::de::Error"
        );
        assert_eq!(
            rewritten("A<::pbjson::private::X>"),
            "A<::micro::codegen::pbjson::private::X>"
        );
        assert_eq!(rewritten("std::fmt::Result"), "::std::fmt::Result");
    }

    #[test]
    fn a_module_called_like_a_crate_is_left_alone() {
        assert_eq!(rewritten("serde::Inner"), "serde::Inner");
        assert_eq!(rewritten("other::serde::de"), "other::serde::de");
    }

    #[test]
    fn null_stands_for_the_default() {
        assert_eq!(
            rewritten("Some(map_.next_value()?)"),
            "map_.next_value::<::std::option::Option<_>>()?"
        );
        assert_eq!(
            rewritten("Some(map_.next_value::<A<_>>()?.0)"),
            "map_.next_value::<::std::option::Option<A<_>>>()?.map(|value|value.0)"
        );
    }
}
