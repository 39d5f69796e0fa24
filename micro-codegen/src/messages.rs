//! What makes a message a message of Micro: the views that codecs take, and its shape.

use proc_macro2::TokenStream;
use prost_reflect::{EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};
use quote::quote;

use crate::json::Json;
use crate::names::Paths;
use crate::{Error, Result};

/// Writes the implementations for the messages and enumerations of a file.
pub(crate) struct Messages<'a> {
    pub(crate) root: &'a TokenStream,
    pub(crate) paths: &'a Paths<'a>,
    pub(crate) json: Json<'a>,
}

impl Messages<'_> {
    pub(crate) fn of_file(&self, file: &FileDescriptor) -> Result<TokenStream> {
        let mut tokens = TokenStream::new();
        for enumeration in file.enums() {
            tokens.extend(self.of_enum(&enumeration)?);
        }
        for message in file.messages() {
            tokens.extend(self.of_message(&message)?);
        }
        Ok(tokens)
    }

    /// A message and what is declared inside it.
    fn of_message(&self, message: &MessageDescriptor) -> Result<TokenStream> {
        if message.is_map_entry() {
            return Ok(TokenStream::new());
        }
        let mut tokens = self.views(message)?;
        tokens.extend(self.json.of_message(message)?);
        for enumeration in message.child_enums() {
            tokens.extend(self.of_enum(&enumeration)?);
        }
        for child in message.child_messages() {
            tokens.extend(self.of_message(&child)?);
        }
        Ok(tokens)
    }

    fn views(&self, message: &MessageDescriptor) -> Result<TokenStream> {
        let root = self.root;
        let path = self.paths.message(message)?;
        let name = message.name();
        let fields = self.fields(message)?;
        Ok(quote! {
            impl #root::codec::Payload for #path {
                fn type_name(&self) -> &'static str {
                    #name
                }
                fn protobuf(&self) -> ::core::option::Option<&dyn #root::codec::ProtobufView> {
                    ::core::option::Option::Some(self)
                }
                fn serde(&self) -> ::core::option::Option<&dyn #root::codegen::erased_serde::Serialize> {
                    ::core::option::Option::Some(self)
                }
                fn message_schema(&self) -> ::core::option::Option<&'static #root::codec::MessageSchema> {
                    <Self as #root::codec::Message>::schema()
                }
            }

            impl #root::codec::ProtobufView for #path {
                fn encoded_len(&self) -> usize {
                    #root::codegen::prost::Message::encoded_len(self)
                }
                fn encode(&self, buffer: &mut #root::codegen::bytes::BytesMut) {
                    #root::codegen::prost::Message::encode_raw(self, buffer)
                }
            }

            impl #root::codec::Slot for #path {
                fn type_name(&self) -> &'static str {
                    #name
                }
                fn protobuf(&mut self) -> ::core::option::Option<&mut dyn #root::codec::ProtobufSlot> {
                    ::core::option::Option::Some(self)
                }
                fn serde(
                    &mut self,
                    deserializer: &mut dyn #root::codegen::erased_serde::Deserializer<'_>,
                ) -> ::core::option::Option<::core::result::Result<(), #root::codegen::erased_serde::Error>> {
                    ::core::option::Option::Some(
                        #root::codegen::erased_serde::deserialize(deserializer).map(|value| *self = value),
                    )
                }
            }

            impl #root::codec::ProtobufSlot for #path {
                fn merge(
                    &mut self,
                    encoding: #root::codec::Encoding<'_>,
                ) -> ::core::result::Result<(), ::std::string::String> {
                    #root::codegen::prost::Message::merge(self, encoding)
                        .map_err(|problem| ::std::string::ToString::to_string(&problem))
                }
            }

            impl #root::codec::Message for #path {
                fn schema() -> ::core::option::Option<&'static #root::codec::MessageSchema> {
                    static SCHEMA: #root::codec::MessageSchema = #root::codec::MessageSchema {
                        name: #name,
                        fields: &[#(#fields),*],
                    };
                    ::core::option::Option::Some(&SCHEMA)
                }
            }
        })
    }

    /// The fields in the order of the `.proto`.
    fn fields(&self, message: &MessageDescriptor) -> Result<Vec<TokenStream>> {
        message
            .descriptor_proto()
            .field
            .iter()
            .filter_map(|field| message.get_field_by_name(field.name()))
            .map(|field| self.field(&field))
            .collect()
    }

    fn field(&self, field: &FieldDescriptor) -> Result<TokenStream> {
        let root = self.root;
        let (name, json_name) = (field.name(), field.json_name());
        let kind = match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let value = self.kind(&entry.map_entry_value_field())?;
                quote!(#root::codec::FieldKind::Map(&#value))
            }
            _ => self.kind(field)?,
        };
        let repeated = field.is_list();
        Ok(quote! {
            #root::codec::FieldSchema {
                name: #name,
                json_name: #json_name,
                kind: #kind,
                repeated: #repeated,
            }
        })
    }

    fn kind(&self, field: &FieldDescriptor) -> Result<TokenStream> {
        let root = self.root;
        let (variant, name) = match field.kind() {
            Kind::String => ("Scalar", "string"),
            Kind::Bool => ("Scalar", "bool"),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => ("Scalar", "int32"),
            Kind::Uint32 | Kind::Fixed32 => ("Scalar", "uint32"),
            Kind::Float => ("Scalar", "float32"),
            Kind::Double => ("Scalar", "float64"),
            Kind::Bytes => ("Scalar", "[]uint8"),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => ("Long", "int64"),
            Kind::Uint64 | Kind::Fixed64 => ("Long", "uint64"),
            Kind::Enum(enumeration) => {
                let path = self.paths.enumeration(&enumeration)?;
                return Ok(
                    quote!(#root::codec::FieldKind::Enum(&<#path as #root::codegen::ProtobufEnum>::SCHEMA)),
                );
            }
            Kind::Message(message) => {
                check_well_known(message.full_name(), field.full_name(), self.paths)?;
                let message = message_type(root, &message, self.paths)?.carried;
                return Ok(quote!(#root::codec::FieldKind::Message(#root::codegen::schema_of::<#message>)));
            }
        };
        let variant = quote::format_ident!("{variant}");
        Ok(quote!(#root::codec::FieldKind::#variant(#name)))
    }

    fn of_enum(&self, enumeration: &EnumDescriptor) -> Result<TokenStream> {
        let root = self.root;
        let path = self.paths.enumeration(enumeration)?;
        let name = enumeration.name();
        let values = enumeration.values().map(|value| {
            let (name, number) = (value.name().to_owned(), value.number());
            quote!((#name, #number))
        });
        Ok(quote! {
            impl #root::codegen::ProtobufEnum for #path {
                const SCHEMA: #root::codec::EnumSchema = #root::codec::EnumSchema {
                    name: #name,
                    values: &[#(#values),*],
                };
            }
        })
    }
}

/// A message's type for people, and the type that is carried for it.
pub(crate) struct MessageType {
    /// What people write.
    pub(crate) plain: TokenStream,
    /// What implements Micro's traits: the same, except for the well-known types.
    pub(crate) carried: TokenStream,
    /// Whether the two differ.
    pub(crate) wrapped: bool,
}

/// Finds a message's type.
pub(crate) fn message_type(
    root: &TokenStream,
    message: &MessageDescriptor,
    paths: &Paths<'_>,
) -> Result<MessageType> {
    let plain = paths.message(message)?;
    let wrapped = paths.well_known(message.full_name()).is_some();
    let carried = match wrapped {
        true => quote!(#root::protobuf::WellKnown<#plain>),
        false => plain.clone(),
    };
    Ok(MessageType {
        plain,
        carried,
        wrapped,
    })
}

const WELL_KNOWN: [&str; 17] = [
    "Any",
    "BoolValue",
    "BytesValue",
    "DoubleValue",
    "Duration",
    "Empty",
    "FieldMask",
    "FloatValue",
    "Int32Value",
    "Int64Value",
    "ListValue",
    "StringValue",
    "Struct",
    "Timestamp",
    "UInt32Value",
    "UInt64Value",
    "Value",
];

/// Refuses the types of Google that nothing stands for.
pub(crate) fn check_well_known(full_name: &str, user: &str, paths: &Paths<'_>) -> Result<()> {
    match paths.well_known(full_name) {
        Some(name) if !WELL_KNOWN.contains(&name) => {}
        _ => return Ok(()),
    }
    Err(Error::new(format!(
        "{user} is of type {full_name}, which Micro brings no Rust type for; it knows google.protobuf.{{{}}}. \
         Give a Rust type of yours with Builder::extern_path(\".{full_name}\", …) or use another type",
        WELL_KNOWN.join(", ")
    )))
}
