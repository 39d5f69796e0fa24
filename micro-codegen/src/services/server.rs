//! The trait that a server implements, and its endpoints.

use std::collections::BTreeSet;

use proc_macro2::{Ident, Literal, TokenStream};
use prost::Message;
use prost_reflect::{FileDescriptor, ServiceDescriptor};
use prost_types::FileDescriptorSet;
use quote::quote;

use super::method::Method;
use super::{Services, parse_ident, type_names};
use crate::Result;
use crate::comments::{documentation, leading};

impl Services<'_> {
    pub(super) fn handler_trait(
        &self,
        service: &ServiceDescriptor,
        methods: &[Method],
    ) -> Result<TokenStream> {
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

    pub(super) fn endpoints(&self, service: &ServiceDescriptor, methods: &[Method]) -> Result<TokenStream> {
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
        let descriptors = Literal::byte_string(&descriptors(&service.parent_file()));
        Ok(quote! {
            #[doc = #docs]
            pub struct #server<T>(::std::sync::Arc<T>);

            impl<T> #server<T> {
                /// The encoded `FileDescriptorSet` of the file that the service is in and of all that it imports.
                pub const FILE_DESCRIPTOR_SET: &'static [u8] = #descriptors;
            }

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
                    #(endpoints.push(#endpoints.with_descriptors(Self::FILE_DESCRIPTOR_SET));)*
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
}

/// Declares nothing but an option, and would bring all of Protobuf's own descriptors with it. The option itself is no
/// part of descriptors as they are embedded.
const ANNOTATIONS: &str = "google/api/annotations.proto";

/// The encoded descriptors of a file and of all that it imports, before those who import it. Comments and places in the
/// source are left out, which are most of it.
fn descriptors(file: &FileDescriptor) -> Vec<u8> {
    let mut set = FileDescriptorSet::default();
    gather(file, &mut BTreeSet::new(), &mut set);
    set.encode_to_vec()
}

fn gather(file: &FileDescriptor, seen: &mut BTreeSet<String>, set: &mut FileDescriptorSet) {
    if file.name() == ANNOTATIONS || !seen.insert(file.name().to_owned()) {
        return;
    }
    for import in file.dependencies() {
        gather(&import, seen, set);
    }
    let mut proto = file.file_descriptor_proto().clone();
    proto.source_code_info = None;
    if let Some(unused) = proto.dependency.iter().position(|name| name == ANNOTATIONS) {
        proto.dependency.remove(unused);
        // Imports are referred to by their place.
        for places in [&mut proto.public_dependency, &mut proto.weak_dependency] {
            let place = |number: &i32| usize::try_from(*number).unwrap_or(usize::MAX);
            places.retain(|number| place(number) != unused);
            places
                .iter_mut()
                .filter(|number| place(number) > unused)
                .for_each(|number| *number -= 1);
        }
    }
    set.file.push(proto);
}
