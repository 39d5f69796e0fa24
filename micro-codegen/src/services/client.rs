//! The client.

use proc_macro2::TokenStream;
use prost_reflect::ServiceDescriptor;
use quote::quote;

use super::method::{Kind, Method};
use super::{Services, parse_ident, type_names};
use crate::Result;

impl Services<'_> {
    pub(super) fn client(&self, service: &ServiceDescriptor, methods: &[Method]) -> Result<TokenStream> {
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
