//! Services: the trait that a server implements, the server's endpoints, and the client.

mod client;
mod method;
mod server;

use proc_macro2::{Ident, TokenStream};
use prost_reflect::ServiceDescriptor;

use crate::names::{self, Paths};
use crate::{Error, Result};

use self::method::Method;

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
