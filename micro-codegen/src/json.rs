//! Canonical JSON of the messages: says of each field what kind it is and where it is kept.

use proc_macro2::{Ident, TokenStream};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor, Syntax};
use quote::{format_ident, quote};

use crate::names::{self, Paths};
use crate::{Error, Result};

/// Writes the serde implementations of messages.
pub(crate) struct Json<'a> {
    pub(crate) root: &'a TokenStream,
    pub(crate) paths: &'a Paths<'a>,
    pub(crate) ignore_unknown_fields: bool,
}

/// How the message keeps a field.
enum Place {
    /// Its default means that it is not there.
    Plain(Ident),
    /// It is always there.
    Required(Ident),
    /// In an option.
    Optional(Ident),
    /// As a variant of a oneof's enum.
    Member { oneof: Ident, variant: TokenStream },
}

impl Json<'_> {
    pub(crate) fn of_message(&self, message: &MessageDescriptor) -> Result<TokenStream> {
        let root = self.root;
        let path = self.paths.message(message)?;
        let name = message.full_name();
        let ignore = self.ignore_unknown_fields;
        let fields: Vec<FieldDescriptor> = message
            .descriptor_proto()
            .field
            .iter()
            .filter_map(|field| message.get_field_by_name(field.name()))
            .collect();
        let names = fields.iter().map(|field| {
            let (json, proto) = (field.json_name(), field.name());
            quote!((#json, #proto))
        });
        let reads = fields
            .iter()
            .enumerate()
            .map(|(index, field)| self.read(index, field))
            .collect::<Result<Vec<_>>>()?;
        let writes = self.writes(message, &fields)?;
        Ok(quote! {
            impl #root::codegen::serde::Serialize for #path {
                fn serialize<S: #root::codegen::serde::Serializer>(
                    &self,
                    serializer: S,
                ) -> ::core::result::Result<S::Ok, S::Error> {
                    let mut object = #root::codegen::json::writer(serializer)?;
                    #(#writes)*
                    object.end()
                }
            }

            impl<'de> #root::codegen::serde::Deserialize<'de> for #path {
                fn deserialize<D: #root::codegen::serde::Deserializer<'de>>(
                    deserializer: D,
                ) -> ::core::result::Result<Self, D::Error> {
                    #root::codegen::json::read_object(deserializer)
                }
            }

            impl #root::codegen::json::Object for #path {
                const NAME: &'static str = #name;
                const FIELDS: &'static [(&'static str, &'static str)] = &[#(#names),*];
                const IGNORE_UNKNOWN: bool = #ignore;
                fn read_field<'de, A: #root::codegen::serde::de::MapAccess<'de>>(
                    &mut self,
                    index: usize,
                    field: #root::codegen::json::Field<'_, A>,
                ) -> ::core::result::Result<(), A::Error> {
                    match index {
                        #(#reads)*
                        _ => ::core::result::Result::Ok(()),
                    }
                }
            }
        })
    }

    fn read(&self, index: usize, field: &FieldDescriptor) -> Result<TokenStream> {
        let kind = self.field_kind(field)?;
        Ok(match self.place(field)? {
            Place::Plain(place) | Place::Required(place) => {
                quote!(#index => field.plain::<#kind, _>(&mut self.#place),)
            }
            Place::Optional(place) => quote!(#index => field.optional::<#kind, _>(&mut self.#place),),
            Place::Member { oneof, variant } => {
                quote!(#index => field.oneof::<#kind, _, _>(&mut self.#oneof, #variant),)
            }
        })
    }

    /// One statement for each field; a oneof is written where its first member stands.
    fn writes(&self, message: &MessageDescriptor, fields: &[FieldDescriptor]) -> Result<Vec<TokenStream>> {
        let mut writes = Vec::new();
        for field in fields {
            let name = field.json_name();
            let kind = self.field_kind(field)?;
            writes.push(match self.place(field)? {
                Place::Plain(place) => quote!(object.field::<#kind, _>(#name, &self.#place)?;),
                Place::Required(place) => quote!(object.always::<#kind, _>(#name, &self.#place)?;),
                Place::Optional(place) => quote!(object.optional::<#kind, _>(#name, &self.#place)?;),
                Place::Member { .. } => continue,
            });
        }
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            writes.push(self.write_oneof(&oneof)?);
        }
        Ok(writes)
    }

    fn write_oneof(&self, oneof: &OneofDescriptor) -> Result<TokenStream> {
        let place = ident(&names::snake(oneof.name()))?;
        let arms = oneof
            .fields()
            .map(|field| {
                let name = field.json_name().to_owned();
                let kind = self.field_kind(&field)?;
                let variant = self.variant(oneof, &field)?;
                Ok(quote! {
                    ::core::option::Option::Some(#variant(value)) => object.always::<#kind, _>(#name, value)?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(quote! {
            match &self.#place {
                #(#arms)*
                ::core::option::Option::None => {}
            }
        })
    }

    fn place(&self, field: &FieldDescriptor) -> Result<Place> {
        let name = ident(&names::snake(field.name()))?;
        let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
        if let Some(oneof) = oneof {
            return Ok(Place::Member {
                variant: self.variant(&oneof, field)?,
                oneof: ident(&names::snake(oneof.name()))?,
            });
        }
        if field.is_list() || field.is_map() {
            return Ok(Place::Plain(name));
        }
        let proto2 = field.parent_file().syntax() == Syntax::Proto2;
        Ok(match field.kind() {
            _ if field.is_required() => Place::Required(name),
            Kind::Message(_) => Place::Optional(name),
            _ if proto2 || field.field_descriptor_proto().proto3_optional() => Place::Optional(name),
            _ => Place::Plain(name),
        })
    }

    fn variant(&self, oneof: &OneofDescriptor, field: &FieldDescriptor) -> Result<TokenStream> {
        let message = self.paths.inside(oneof.parent_message())?;
        let (name, variant) = (
            ident(&names::oneof_type(oneof))?,
            ident(&names::camel(field.name()))?,
        );
        Ok(quote!(#message::#name::#variant))
    }

    /// The kind of a field with all that it holds.
    fn field_kind(&self, field: &FieldDescriptor) -> Result<TokenStream> {
        let root = self.root;
        if let (Kind::Message(entry), true) = (field.kind(), field.is_map()) {
            let value = self.kind(&entry.map_entry_value_field())?;
            return Ok(quote!(#root::codegen::json::Map<#value>));
        }
        let kind = self.kind(field)?;
        Ok(match field.is_list() {
            true => quote!(#root::codegen::json::List<#kind>),
            false => kind,
        })
    }

    /// The kind of one value.
    fn kind(&self, field: &FieldDescriptor) -> Result<TokenStream> {
        let root = self.root;
        let kind = match field.kind() {
            Kind::String | Kind::Bool => "Plain",
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Uint32 | Kind::Fixed32 => "Integer",
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => "Long",
            Kind::Float | Kind::Double => "Float",
            Kind::Bytes => "Binary",
            Kind::Enum(enumeration) if enumeration.full_name() == "google.protobuf.NullValue" => "Null",
            Kind::Enum(enumeration) => {
                let path = self.paths.enumeration(&enumeration)?;
                return Ok(quote!(#root::codegen::json::Enumeration<#path>));
            }
            Kind::Message(message) => well_known_kind(&message, self.paths),
        };
        let kind = format_ident!("{kind}");
        Ok(quote!(#root::codegen::json::#kind))
    }
}

fn well_known_kind(message: &MessageDescriptor, paths: &Paths<'_>) -> &'static str {
    match paths.well_known(message.full_name()) {
        None => "Nested",
        Some("BoolValue" | "StringValue") => "Plain",
        Some("BytesValue") => "Binary",
        Some("Int32Value" | "UInt32Value") => "Integer",
        Some("Int64Value" | "UInt64Value") => "Long",
        Some("FloatValue" | "DoubleValue") => "Float",
        Some("Any") => "Any",
        Some("Duration") => "Duration",
        Some("Empty") => "Empty",
        Some("FieldMask") => "FieldMask",
        Some("ListValue") => "ListValue",
        Some("Struct") => "Struct",
        Some("Timestamp") => "Timestamp",
        // Others were refused before.
        Some(_) => "Value",
    }
}

fn ident(name: &str) -> Result<Ident> {
    syn::parse_str(name).map_err(|_| {
        Error::new(format!(
            "{name:?} cannot be a name in Rust; rename it in the .proto"
        ))
    })
}
