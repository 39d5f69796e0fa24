//! Services: the trait that a server implements, the server's endpoints, and the client.

use proc_macro2::{Ident, TokenStream};
use prost_reflect::{MethodDescriptor, ServiceDescriptor};
use quote::{format_ident, quote};

use crate::comments::{documentation, leading};
use crate::messages::{MessageType, check_well_known, message_type};
use crate::names::{self, Paths};
use crate::{Error, Result, http};

/// Method names that the generated client needs for itself.
const RESERVED: [&str; 4] = ["new", "clone", "with_options", "within"];

/// Writes the code of services.
pub(crate) struct Services<'a> {
    pub(crate) root: &'a TokenStream,
    pub(crate) paths: &'a Paths<'a>,
    pub(crate) server: bool,
    pub(crate) client: bool,
}

/// The names that a service takes in its package.
pub(crate) fn type_names(service: &ServiceDescriptor) -> [String; 3] {
    let name = names::camel(service.name());
    [name.clone(), format!("{name}Server"), format!("{name}Client")]
}

impl Services<'_> {
    /// One service; what could not be expressed is added to the warnings.
    pub(crate) fn of_service(
        &self,
        service: &ServiceDescriptor,
        warnings: &mut Vec<String>,
    ) -> Result<TokenStream> {
        let methods = service
            .methods()
            .map(|method| self.method(service, &method, warnings))
            .collect::<Result<Vec<Method>>>()?;
        check_names(service, &methods)?;
        let mut tokens = TokenStream::new();
        if self.server {
            tokens.extend(self.handler_trait(service, &methods)?);
            tokens.extend(self.endpoints(service, &methods)?);
        }
        if self.client {
            tokens.extend(self.client(service, &methods)?);
        }
        Ok(tokens)
    }

    fn method(
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
            idempotent: options.idempotency_level()
                != prost_types::method_options::IdempotencyLevel::IdempotencyUnknown,
            deprecated: options.deprecated(),
            metadata: metadata(service, method, &comment, warnings),
            comment,
        })
    }

    fn handler_trait(&self, service: &ServiceDescriptor, methods: &[Method]) -> Result<TokenStream> {
        let root = self.root;
        let [name, server, _] = type_names(service);
        let docs = documentation(
            &leading(&service.parent_file(), service.path()),
            &format!(
                "The service `{}`: implement it and serve it as [`{server}`].",
                service.name()
            ),
        );
        let name = parse_ident(&name)?;
        let methods = methods.iter().map(|method| {
            let (docs, name) = (method.documentation("Answers"), &method.name);
            let (arguments, answer) = (method.arguments(root), method.answer());
            quote! {
                #docs
                fn #name(
                    &self,
                    context: &mut #root::Context,
                    #arguments
                ) -> impl ::core::future::Future<Output = #root::Result<#answer>> + ::core::marker::Send;
            }
        });
        Ok(quote! {
            #docs
            pub trait #name: ::core::marker::Send + ::core::marker::Sync + 'static {
                #(#methods)*
            }
        })
    }

    fn endpoints(&self, service: &ServiceDescriptor, methods: &[Method]) -> Result<TokenStream> {
        let root = self.root;
        let [name, server, _] = type_names(service);
        let docs = format!(
            " Serves an implementation of [`{name}`]: give it to a server, which answers the endpoints `{}.*` with it.",
            service.name()
        );
        let server_name = server.clone();
        let (name, server) = (parse_ident(&name)?, parse_ident(&server)?);
        let handlers = methods.iter().map(|method| self.handler(&name, method));
        let endpoints = methods.iter().map(|method| self.endpoint(method));
        let count = methods.len();
        Ok(quote! {
            #[doc = #docs]
            pub struct #server<T>(::std::sync::Arc<T>);

            impl<T: #name> #server<T> {
                /// Serves this implementation.
                pub fn new(service: T) -> Self {
                    Self(::std::sync::Arc::new(service))
                }

                /// Serves an implementation that others hold too.
                pub fn from_arc(service: ::std::sync::Arc<T>) -> Self {
                    Self(service)
                }
            }

            impl<T> ::core::clone::Clone for #server<T> {
                fn clone(&self) -> Self {
                    Self(::std::sync::Arc::clone(&self.0))
                }
            }

            impl<T> ::core::fmt::Debug for #server<T> {
                fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    formatter.write_str(#server_name)
                }
            }

            impl<T: #name> #root::handler::IntoEndpoints for #server<T> {
                fn into_endpoints(
                    self,
                    codecs: &#root::codec::Codecs,
                ) -> ::std::vec::Vec<#root::handler::Endpoint> {
                    #(#handlers)*
                    let mut endpoints = ::std::vec::Vec::with_capacity(#count);
                    #(endpoints.push(#endpoints);)*
                    endpoints
                }
            }
        })
    }

    /// One method as a handler.
    fn handler(&self, service: &Ident, method: &Method) -> TokenStream {
        let root = self.root;
        let (handler, name, shape) = (&method.handler, &method.name, method.kind.handler_trait());
        let (input, output) = (&method.input.carried, &method.output.carried);
        let (arguments, answer) = (method.handler_arguments(root), method.handler_answer());
        let values = method.handler_values();
        let answered = match method.output.wrapped && !method.kind.streams_out() {
            true => quote!(.map(#root::protobuf::WellKnown)),
            false => TokenStream::new(),
        };
        quote! {
            #[allow(non_camel_case_types)]
            struct #handler<T>(::std::sync::Arc<T>);

            impl<T: #service> #root::handler::#shape<#input, #output> for #handler<T> {
                async fn call(
                    &self,
                    context: &mut #root::Context,
                    #arguments
                ) -> #root::Result<#answer> {
                    <T as #service>::#name(&self.0, context, #values).await #answered
                }
            }
        }
    }

    fn endpoint(&self, method: &Method) -> TokenStream {
        let root = self.root;
        let (handler, endpoint, constructor) = (&method.handler, &method.endpoint, method.kind.constructor());
        let pairs = method
            .metadata
            .iter()
            .map(|(key, value)| quote!(.with_metadata(#key, #value)));
        quote! {
            #root::handler::#constructor(
                #root::Text::from_static(#endpoint),
                codecs,
                #handler(::std::sync::Arc::clone(&self.0))
            ) #(#pairs)*
        }
    }

    fn client(&self, service: &ServiceDescriptor, methods: &[Method]) -> Result<TokenStream> {
        let root = self.root;
        let [_, _, client] = type_names(service);
        let docs = format!(" Calls the service `{}`. Cheap to clone.", service.name());
        let client = parse_ident(&client)?;
        let methods = methods.iter().map(|method| self.client_method(method));
        Ok(quote! {
            #[doc = #docs]
            #[derive(::core::clone::Clone, ::core::fmt::Debug)]
            pub struct #client {
                service: #root::Text,
                client: #root::Client,
            }

            impl #client {
                /// Calls the service that is registered by this name.
                pub fn new(service: impl ::core::convert::Into<#root::Text>, client: &#root::Client) -> Self {
                    Self {
                        service: service.into(),
                        client: ::core::clone::Clone::clone(client),
                    }
                }

                /// The same with other options for its calls.
                #[must_use]
                pub fn with_options(&self, options: #root::client::CallOptions) -> Self {
                    Self {
                        service: ::core::clone::Clone::clone(&self.service),
                        client: self.client.with_options(options),
                    }
                }

                /// The same for calls that are made while answering one: they inherit its deadline and metadata.
                #[must_use]
                pub fn within(&self, context: &#root::Context) -> Self {
                    Self {
                        service: ::core::clone::Clone::clone(&self.service),
                        client: self.client.within(context),
                    }
                }

                #(#methods)*
            }
        })
    }

    fn client_method(&self, method: &Method) -> TokenStream {
        let root = self.root;
        let (docs, name, endpoint) = (method.documentation("Calls"), &method.name, &method.endpoint);
        let deprecated = method.deprecated.then(|| quote!(#[deprecated]));
        let idempotent = method.idempotent.then(|| quote!(.idempotent()));
        let method_constant = quote! {
            const METHOD: #root::client::Method = #root::client::Method::new(#endpoint) #idempotent;
        };
        let (request, sent) = (&method.input.plain, &method.input.carried);
        let (answer, received) = (&method.output.plain, &method.output.carried);
        let (wrap, unwrap) = (method.input.wrapped, method.output.wrapped);
        let wrap = wrap.then(|| quote!(let request = #root::protobuf::WellKnown(request);));
        let unwrap = unwrap.then(|| quote!(.map(|answer: #received| answer.0)));
        match method.kind {
            Kind::Unary => quote! {
                #docs
                #deprecated
                pub async fn #name(&self, request: #request) -> #root::Result<#answer> {
                    #method_constant
                    #wrap
                    self.client.unary(&self.service, METHOD, &request).await #unwrap
                }
            },
            Kind::ServerStreaming => quote! {
                #docs
                #deprecated
                pub async fn #name(
                    &self,
                    request: #request,
                ) -> #root::Result<#root::handler::Streaming<#received>> {
                    #method_constant
                    #wrap
                    self.client.server_streaming(&self.service, METHOD, &request).await
                }
            },
            Kind::ClientStreaming => quote! {
                #docs
                #deprecated
                pub fn #name(&self) -> #root::Result<#root::client::ClientStream<#sent, #received>> {
                    #method_constant
                    self.client.client_streaming(&self.service, METHOD)
                }
            },
            Kind::Bidirectional => quote! {
                #docs
                #deprecated
                pub fn #name(
                    &self,
                ) -> #root::Result<(#root::handler::StreamSender<#sent>, #root::handler::Streaming<#received>)> {
                    #method_constant
                    self.client.bidirectional_streaming(&self.service, METHOD)
                }
            },
        }
    }
}

struct Method {
    name: Ident,
    proto_name: String,
    handler: Ident,
    endpoint: String,
    input: MessageType,
    output: MessageType,
    kind: Kind,
    idempotent: bool,
    deprecated: bool,
    metadata: Vec<(&'static str, String)>,
    comment: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
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

    fn streams_out(self) -> bool {
        matches!(self, Self::ServerStreaming | Self::Bidirectional)
    }

    fn handler_trait(self) -> Ident {
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

    fn constructor(self) -> Ident {
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
    fn documentation(&self, verb: &str) -> TokenStream {
        documentation(&self.comment, &format!("{verb} `{}`.", self.endpoint))
    }

    /// What the method takes after the context, in the trait that people implement.
    fn arguments(&self, root: &TokenStream) -> TokenStream {
        self.arguments_of(root, &self.input.plain)
    }

    /// The same in the handler, which sees what is carried.
    fn handler_arguments(&self, root: &TokenStream) -> TokenStream {
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

    fn handler_values(&self) -> TokenStream {
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

    fn answer(&self) -> TokenStream {
        self.answer_of(&self.output.plain)
    }

    fn handler_answer(&self) -> TokenStream {
        self.answer_of(&self.output.carried)
    }

    fn answer_of(&self, single: &TokenStream) -> TokenStream {
        match self.kind.streams_out() {
            true => quote!(()),
            false => single.clone(),
        }
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
    if options.idempotency_level() != prost_types::method_options::IdempotencyLevel::IdempotencyUnknown {
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

fn check_names(service: &ServiceDescriptor, methods: &[Method]) -> Result<()> {
    for (index, method) in methods.iter().enumerate() {
        if let Some(other) = methods[..index].iter().find(|other| other.name == method.name) {
            return Err(Error::new(format!(
                "{}: the methods {} and {} of service {} would both be the Rust function {}; rename one of them",
                service.parent_file().name(),
                other.proto_name,
                method.proto_name,
                service.full_name(),
                method.name
            )));
        }
    }
    Ok(())
}

fn parse_ident(name: &str) -> Result<Ident> {
    syn::parse_str(name).map_err(|_| {
        Error::new(format!(
            "{name:?} cannot be a name in Rust; rename it in the .proto"
        ))
    })
}
