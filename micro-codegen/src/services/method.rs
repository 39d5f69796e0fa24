//! One method of a service, in the words of Rust.

use proc_macro2::{Ident, TokenStream};
use prost_reflect::{MethodDescriptor, ServiceDescriptor};
use prost_types::method_options::IdempotencyLevel;
use quote::{format_ident, quote};

use super::{Services, parse_ident};
use crate::comments::{documentation, leading};
use crate::messages::{MessageType, check_well_known, message_type};
use crate::{Result, http, names};

/// Method names that the generated client needs for itself.
const RESERVED: [&str; 4] = ["new", "clone", "with_options", "within"];

pub(super) struct Method {
    pub(super) name: Ident,
    pub(super) proto_name: String,
    pub(super) handler: Ident,
    pub(super) endpoint: String,
    pub(super) input: MessageType,
    pub(super) output: MessageType,
    pub(super) kind: Kind,
    pub(super) idempotent: bool,
    pub(super) deprecated: bool,
    pub(super) metadata: Vec<(&'static str, String)>,
    pub(super) comment: String,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Unary,
    ClientStreaming,
    ServerStreaming,
    Bidirectional,
}

impl Kind {
    fn of(method: &MethodDescriptor) -> Self {
        match (method.is_client_streaming(), method.is_server_streaming()) {
            (false, false) => Self::Unary,
            (true, false) => Self::ClientStreaming,
            (false, true) => Self::ServerStreaming,
            (true, true) => Self::Bidirectional,
        }
    }

    fn streams_in(self) -> bool {
        matches!(self, Self::ClientStreaming | Self::Bidirectional)
    }

    pub(super) fn streams_out(self) -> bool {
        matches!(self, Self::ServerStreaming | Self::Bidirectional)
    }

    pub(super) fn handler_trait(self) -> Ident {
        format_ident!(
            "{}",
            match self {
                Self::Unary => "Unary",
                Self::ClientStreaming => "ClientStreaming",
                Self::ServerStreaming => "ServerStreaming",
                Self::Bidirectional => "BidirectionalStreaming",
            }
        )
    }

    pub(super) fn constructor(self) -> Ident {
        format_ident!(
            "{}",
            match self {
                Self::Unary => "unary",
                Self::ClientStreaming => "client_streaming",
                Self::ServerStreaming => "server_streaming",
                Self::Bidirectional => "bidirectional_streaming",
            }
        )
    }
}

impl Method {
    pub(super) fn documentation(&self, verb: &str) -> TokenStream {
        documentation(&self.comment, &format!("{verb} `{}`.", self.endpoint))
    }

    /// What the method takes after the context, in the trait that people implement.
    pub(super) fn arguments(&self, root: &TokenStream) -> TokenStream {
        self.arguments_of(root, &self.input.plain)
    }

    /// The same in the handler, which sees what is carried.
    pub(super) fn handler_arguments(&self, root: &TokenStream) -> TokenStream {
        self.arguments_of(root, &self.input.carried)
    }

    fn arguments_of(&self, root: &TokenStream, single: &TokenStream) -> TokenStream {
        let (input, output) = (&self.input.carried, &self.output.carried);
        let incoming = match self.kind.streams_in() {
            true => quote!(requests: #root::handler::Streaming<#input>,),
            false => quote!(request: #single,),
        };
        let outgoing = self
            .kind
            .streams_out()
            .then(|| quote!(replies: #root::handler::StreamSender<#output>,));
        quote!(#incoming #outgoing)
    }

    pub(super) fn handler_values(&self) -> TokenStream {
        let incoming = match (self.kind.streams_in(), self.input.wrapped) {
            (true, _) => quote!(requests),
            (false, true) => quote!(request.0),
            (false, false) => quote!(request),
        };
        match self.kind.streams_out() {
            true => quote!(#incoming, replies),
            false => incoming,
        }
    }

    pub(super) fn answer(&self) -> TokenStream {
        self.answer_of(&self.output.plain)
    }

    pub(super) fn handler_answer(&self) -> TokenStream {
        self.answer_of(&self.output.carried)
    }

    fn answer_of(&self, single: &TokenStream) -> TokenStream {
        match self.kind.streams_out() {
            true => quote!(()),
            false => single.clone(),
        }
    }
}

impl Services<'_> {
    pub(super) fn method(
        &self,
        service: &ServiceDescriptor,
        method: &MethodDescriptor,
        warnings: &mut Vec<String>,
    ) -> Result<Method> {
        for message in [method.input(), method.output()] {
            check_well_known(message.full_name(), method.full_name(), self.paths)?;
        }
        let mut name = names::snake(method.name());
        if RESERVED.contains(&name.as_str()) {
            name.push('_');
        }
        let options = method
            .method_descriptor_proto()
            .options
            .clone()
            .unwrap_or_default();
        let comment = leading(&method.parent_file(), method.path());
        Ok(Method {
            name: parse_ident(&name)?,
            proto_name: method.name().to_owned(),
            // Rust's type names have no underscore, so this one meets none of them.
            handler: format_ident!("Method_{}", names::camel(method.name())),
            endpoint: format!("{}.{}", service.name(), method.name()),
            input: message_type(self.root, &method.input(), self.paths)?,
            output: message_type(self.root, &method.output(), self.paths)?,
            kind: Kind::of(method),
            idempotent: options.idempotency_level() != IdempotencyLevel::IdempotencyUnknown,
            deprecated: options.deprecated(),
            metadata: metadata(service, method, &comment, warnings),
            comment,
        })
    }
}

/// What the registry is told of a method besides its messages.
fn metadata(
    service: &ServiceDescriptor,
    method: &MethodDescriptor,
    comment: &str,
    warnings: &mut Vec<String>,
) -> Vec<(&'static str, String)> {
    let mut metadata = Vec::new();
    if !comment.is_empty() {
        metadata.push(("description", comment.to_owned()));
    }
    let options = method
        .method_descriptor_proto()
        .options
        .clone()
        .unwrap_or_default();
    if options.idempotency_level() != IdempotencyLevel::IdempotencyUnknown {
        metadata.push(("idempotent", "true".to_owned()));
    }
    let Some(route) = http::route(method) else {
        return metadata;
    };
    metadata.push(("endpoint", format!("{}.{}", service.name(), method.name())));
    metadata.push(("handler", "rpc".to_owned()));
    metadata.push(("method", route.method));
    metadata.push(("path", route.paths.join(",")));
    if !route.body.is_empty() {
        metadata.push(("body", route.body));
    }
    if !route.left_out.is_empty() {
        warnings.push(format!(
            "{}: the additional bindings {} differ from the first in method or body, which a registry record \
             cannot say; gateways will not know them",
            method.full_name(),
            route.left_out.join(", ")
        ));
    }
    metadata
}
