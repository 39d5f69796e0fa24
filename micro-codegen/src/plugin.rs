//! `protoc-gen-micro`: the same generator behind protoc.

use std::collections::BTreeSet;

use prost::Message;
use prost::bytes::Bytes;
use prost_reflect::DescriptorPool;
use prost_types::compiler::code_generator_response::{Feature, File};
use prost_types::compiler::{CodeGeneratorRequest, CodeGeneratorResponse};

use crate::builder::{file_name, include_file};
use crate::generate::generate;
use crate::{Builder, Error, Result};

/// The descriptors of a request as bytes: decoded into plain types they would lose options that are extensions.
#[derive(Clone, PartialEq, Message)]
struct RawRequest {
    #[prost(bytes = "bytes", repeated, tag = "15")]
    proto_file: Vec<Bytes>,
}

/// Answers an encoded `CodeGeneratorRequest` with an encoded `CodeGeneratorResponse`.
///
/// What is wrong with the files or the parameters is said in the answer, for protoc to print. Warnings are
/// returned beside it.
///
/// # Errors
///
/// When the request itself cannot be decoded: then it does not come from protoc.
pub fn answer(request: &[u8]) -> Result<(Vec<u8>, Vec<String>)> {
    let malformed = |problem| Error::new(format!("the request is not a CodeGeneratorRequest: {problem}"));
    let raw = RawRequest::decode(request).map_err(malformed)?;
    let request = CodeGeneratorRequest::decode(request).map_err(malformed)?;
    let mut response = CodeGeneratorResponse {
        supported_features: Some(Feature::Proto3Optional as u64),
        ..CodeGeneratorResponse::default()
    };
    let mut warnings = Vec::new();
    match files(&request, raw) {
        Ok((files, said)) => {
            response.file = files;
            warnings = said;
        }
        Err(error) => response.error = Some(format!("micro: {error}")),
    }
    Ok((response.encode_to_vec(), warnings))
}

fn files(request: &CodeGeneratorRequest, raw: RawRequest) -> Result<(Vec<File>, Vec<String>)> {
    let options = Options::parse(request.parameter())?;
    let mut pool = DescriptorPool::new();
    for file in raw.proto_file {
        pool.decode_file_descriptor_proto(file)
            .map_err(|problem| Error::new(format!("protoc sent a file that cannot be read: {problem}")))?;
    }
    let wanted: BTreeSet<String> = request.file_to_generate.iter().cloned().collect();
    let generated = generate(&options.builder, &pool, &wanted)?;
    let mut files: Vec<File> = generated
        .packages
        .iter()
        .map(|(package, source)| file(file_name(package), source.clone()))
        .collect();
    if let Some(name) = options.include_file {
        let packages = generated.packages.keys().map(String::as_str);
        // Files that protoc wrote lie beside each other, in no build script's directory.
        let source = include_file(packages, |file| format!("{file:?}"));
        files.push(file(name, source));
    }
    Ok((files, generated.warnings))
}

fn file(name: String, content: String) -> File {
    File {
        name: Some(name),
        content: Some(content),
        ..File::default()
    }
}

/// What was given with `--micro_opt`.
struct Options {
    builder: Builder,
    include_file: Option<String>,
}

impl Options {
    fn parse(parameter: &str) -> Result<Self> {
        let mut builder = Builder::new();
        let mut include_file = None;
        for option in parameter
            .split(',')
            .map(str::trim)
            .filter(|option| !option.is_empty())
        {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            builder = match name {
                "root" => builder.root(value),
                "server" => builder.build_server(yes_or_no(name, value)?),
                "client" => builder.build_client(yes_or_no(name, value)?),
                "ignore_unknown_fields" if yes_or_no(name, value)? => builder.ignore_unknown_fields(),
                "ignore_unknown_fields" => builder,
                "btree_map" => builder.btree_map(value),
                "bytes" => builder.bytes(value),
                "extern_path" => {
                    let (name, path) = value.split_once('=').ok_or_else(|| {
                        Error::new(format!(
                            "the parameter {option:?} needs a name and a path, such as extern_path=.shop=::shop_protos::shop"
                        ))
                    })?;
                    builder.extern_path(name, path)
                }
                "include_file" => {
                    include_file = Some(value.to_owned());
                    builder
                }
                _ => {
                    return Err(Error::new(format!(
                        "the parameter {name:?} is unknown; known are root, server, client, ignore_unknown_fields, \
                         btree_map, bytes, extern_path and include_file"
                    )));
                }
            };
        }
        Ok(Self {
            builder,
            include_file,
        })
    }
}

fn yes_or_no(name: &str, value: &str) -> Result<bool> {
    match value {
        "" | "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Error::new(format!(
            "the parameter {name}={value} must be true or false"
        ))),
    }
}
