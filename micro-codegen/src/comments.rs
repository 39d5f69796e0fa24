//! Comments of the `.proto`: as documentation of the generated code, and as descriptions in the registry.

use proc_macro2::TokenStream;
use prost_reflect::FileDescriptor;
use quote::quote;
use syn::visit_mut::VisitMut;
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta, parse_quote};

/// The comment that stands before a declaration, trimmed; empty where there is none.
pub(crate) fn leading(file: &FileDescriptor, path: &[i32]) -> String {
    let Some(info) = &file.file_descriptor_proto().source_code_info else {
        return String::new();
    };
    let comment = info
        .location
        .iter()
        .find(|location| location.path == path)
        .and_then(|location| location.leading_comments.as_deref())
        .unwrap_or_default();
    let lines: Vec<&str> = comment
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
        .collect();
    lines.join("\n").trim().to_owned()
}

/// A comment as documentation; where there is none, a sentence that says what the thing is.
pub(crate) fn documentation(comment: &str, otherwise: &str) -> TokenStream {
    if comment.is_empty() {
        let otherwise = format!(" {otherwise}");
        return quote!(#[doc = #otherwise]);
    }
    let comment = prost_build::Comments {
        leading_detached: Vec::new(),
        leading: comment.lines().map(|line| format!(" {line}")).collect(),
        trailing: Vec::new(),
    };
    let mut sanitized = String::new();
    comment.append_with_indent(0, &mut sanitized);
    let lines = sanitized
        .lines()
        .map(|line| line.strip_prefix("///").unwrap_or(line));
    quote!(#(#[doc = #lines])*)
}

/// Keeps rustdoc from taking what looks like code in comments for doctests.
///
/// Comments were not written for rustdoc: an indented line is no Rust, and neither is what stands between fences
/// that name no language.
pub(crate) fn without_doctests(file: &mut syn::File) {
    Doctests.visit_file_mut(file);
}

struct Doctests;

impl VisitMut for Doctests {
    fn visit_attributes_mut(&mut self, attributes: &mut Vec<Attribute>) {
        let mut inside_fence = false;
        for attribute in attributes.iter_mut() {
            if let Some(line) = doc_line(attribute) {
                let line = defused(&line, &mut inside_fence);
                *attribute = parse_quote!(#[doc = #line]);
            }
        }
        if inside_fence {
            attributes.push(parse_quote!(#[doc = " ```"]));
        }
    }
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else {
        return None;
    };
    match &pair.value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(line), ..
        }) if pair.path.is_ident("doc") => Some(LitStr::value(line)),
        _ => None,
    }
}

fn defused(line: &str, inside_fence: &mut bool) -> String {
    let text = line.trim_start();
    let is_fence = text.starts_with("```") || text.starts_with("~~~");
    match (is_fence, *inside_fence) {
        (true, true) => {
            *inside_fence = false;
            format!(" {text}")
        }
        (true, false) => {
            *inside_fence = true;
            " ```text".to_owned()
        }
        (false, true) => line.to_owned(),
        // Four spaces, and the one after the slashes, begin a block of code.
        (false, false) if line.starts_with("     ") || line.starts_with('\t') || line.starts_with(" \t") => {
            format!("   {text}")
        }
        (false, false) => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(lines: &[&str]) -> Vec<String> {
        let mut file: syn::File = syn::parse_quote!(#(#[doc = #lines])* struct S;);
        without_doctests(&mut file);
        let syn::Item::Struct(item) = &file.items[0] else {
            panic!("not a struct")
        };
        item.attrs.iter().filter_map(doc_line).collect()
    }

    #[test]
    fn fences_and_indented_lines_are_no_doctests() {
        assert_eq!(
            rewritten(&[" Like this:", " ```", "     call()", " ```", "     indented()"]),
            [" Like this:", " ```text", "     call()", " ```", "   indented()"]
        );
    }

    #[test]
    fn a_fence_that_is_never_closed_is_closed() {
        assert_eq!(rewritten(&[" ```rust", " x"]), [" ```text", " x", " ```"]);
    }
}
