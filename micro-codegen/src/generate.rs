//! From descriptors to the Rust source of each package.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::TokenStream;
use prost_build::Module;
use prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor};
use syn::{Attribute, Item, parse_quote};

use crate::messages::Messages;
use crate::names::{self, Paths};
use crate::services::{Services, type_names};
use crate::{Builder, Error, Result, comments, json};

/// What was generated.
pub(crate) struct Generated {
    /// The Rust source of each package, by the package's name.
    pub(crate) packages: BTreeMap<String, String>,
    /// What the source could not express.
    pub(crate) warnings: Vec<String>,
}

/// Generates the code of the named files.
pub(crate) fn generate(
    builder: &Builder,
    pool: &DescriptorPool,
    wanted: &BTreeSet<String>,
) -> Result<Generated> {
    let root = builder.root_tokens()?;
    let elsewhere = builder.elsewhere();
    let all: Vec<FileDescriptor> = pool.files().collect();
    let files: Vec<FileDescriptor> = all
        .iter()
        .filter(|file| wanted.contains(file.name()))
        .cloned()
        .collect();
    check_syntax(&files)?;
    check_modules(&files)?;
    check_type_names(&files)?;

    let mut packages: BTreeMap<String, TokenStream> = BTreeMap::new();
    for (package, source) in messages(builder, &elsewhere, &all, wanted)? {
        packages.entry(package).or_default().extend(parsed(&source)?);
    }
    let mut warnings = Vec::new();
    for file in &files {
        let package = file.package_name();
        let paths = Paths {
            elsewhere: &elsewhere,
            package,
        };
        let views = Messages {
            root: &root,
            paths: &paths,
        }
        .of_file(file)?;
        let services = Services {
            root: &root,
            paths: &paths,
            server: builder.server,
            client: builder.client,
        };
        let tokens = packages.entry(package.to_owned()).or_default();
        tokens.extend(views);
        for service in file.services() {
            tokens.extend(services.of_service(&service, &mut warnings)?);
        }
    }
    for (package, source) in json::implementations(builder, &elsewhere, &all, &files)? {
        let tokens = json::adapted(parsed(&source)?, &root);
        packages.entry(package).or_default().extend(tokens);
    }
    let packages = packages
        .into_iter()
        .map(|(package, tokens)| Ok((package, printed(tokens)?)))
        .collect::<Result<_>>()?;
    Ok(Generated { packages, warnings })
}

/// The message types, by package.
fn messages(
    builder: &Builder,
    elsewhere: &[(String, String)],
    all: &[FileDescriptor],
    wanted: &BTreeSet<String>,
) -> Result<Vec<(String, String)>> {
    // The generator must see the files that need no code, to know their types; what it writes for them goes here.
    let unwanted = Module::from_parts(["unwanted"]);
    let unwanted_package = "\0";
    let mut packages = BTreeMap::new();
    let mut requests = Vec::new();
    for file in all {
        let (module, package) = match wanted.contains(file.name()) {
            true => (module(file.package_name()), file.package_name()),
            false => (unwanted.clone(), unwanted_package),
        };
        packages.insert(module.clone(), package.to_owned());
        requests.push((module, file.file_descriptor_proto().clone()));
    }
    let mut config = builder.message_config(elsewhere);
    let modules = config
        .generate(requests)
        .map_err(|problem| Error::new(format!("cannot generate the messages: {problem}")))?;
    let sources = modules.into_iter().filter_map(|(module, source)| {
        let package = packages.remove(&module)?;
        (package != unwanted_package).then_some((package, source))
    });
    Ok(sources.collect())
}

fn module(package: &str) -> Module {
    Module::from_parts(["wanted".to_owned()].into_iter().chain(names::modules(package)))
}

fn parsed(source: &str) -> Result<TokenStream> {
    source.parse().map_err(|problem| {
        Error::new(format!(
            "the generated code is not Rust ({problem}): this is a bug"
        ))
    })
}

/// The finished source, fit to be included in any crate whatever its lints are.
fn printed(tokens: TokenStream) -> Result<String> {
    let mut file: syn::File = syn::parse2(tokens).map_err(|problem| {
        Error::new(format!(
            "the generated code is not Rust ({problem}): is a name in the .proto impossible in Rust, or an \
             attribute that was added malformed?"
        ))
    })?;
    comments::without_doctests(&mut file);
    for item in &mut file.items {
        if let Some(attributes) = attributes(item) {
            attributes.push(parse_quote!(
                #[allow(
                    dead_code, deprecated, missing_docs, non_camel_case_types, unreachable_pub,
                    clippy::all, clippy::pedantic, rustdoc::all
                )]
            ));
        }
    }
    Ok(format!(
        "// Generated by micro-codegen from .proto files: changes made here are lost.\n{}",
        prettyplease::unparse(&file)
    ))
}

fn attributes(item: &mut Item) -> Option<&mut Vec<Attribute>> {
    match item {
        Item::Struct(item) => Some(&mut item.attrs),
        Item::Enum(item) => Some(&mut item.attrs),
        Item::Trait(item) => Some(&mut item.attrs),
        Item::Impl(item) => Some(&mut item.attrs),
        Item::Mod(item) => Some(&mut item.attrs),
        _ => None,
    }
}

/// The generators of messages and of JSON know proto2 and proto3.
fn check_syntax(files: &[FileDescriptor]) -> Result<()> {
    let known =
        |file: &&FileDescriptor| !matches!(file.file_descriptor_proto().syntax(), "" | "proto2" | "proto3");
    match files.iter().find(known) {
        Some(file) => Err(Error::new(format!(
            "{}: the syntax {:?} is not supported; begin the file with syntax = \"proto3\"; instead",
            file.name(),
            file.file_descriptor_proto().syntax()
        ))),
        None => Ok(()),
    }
}

/// Packages that differ in the `.proto` must differ in Rust.
fn check_modules(files: &[FileDescriptor]) -> Result<()> {
    let mut known: BTreeMap<Vec<String>, &FileDescriptor> = BTreeMap::new();
    for file in files {
        let other = known.entry(names::modules(file.package_name())).or_insert(file);
        if other.package_name() != file.package_name() {
            return Err(Error::new(format!(
                "the packages {} of {} and {} of {} would both be the Rust module {}; rename one of them",
                other.package_name(),
                other.name(),
                file.package_name(),
                file.name(),
                names::modules(file.package_name()).join("::")
            )));
        }
    }
    Ok(())
}

/// What becomes a type of a package or of a message must differ in Rust.
fn check_type_names(files: &[FileDescriptor]) -> Result<()> {
    let mut packages: BTreeMap<&str, Scope> = BTreeMap::new();
    for file in files {
        let scope = packages.entry(file.package_name()).or_default();
        for message in file.messages() {
            scope.declare(
                names::camel(message.name()),
                format!("message {}", message.full_name()),
            )?;
            check_nested(&message)?;
        }
        for enumeration in file.enums() {
            scope.declare(
                names::camel(enumeration.name()),
                format!("enum {}", enumeration.full_name()),
            )?;
        }
    }
    for file in files {
        let scope = packages.entry(file.package_name()).or_default();
        for service in file.services() {
            let [name, server, client] = type_names(&service);
            let full_name = service.full_name();
            scope.declare(name, format!("service {full_name}"))?;
            scope.declare(server, format!("the server of service {full_name}"))?;
            scope.declare(client, format!("the client of service {full_name}"))?;
        }
    }
    Ok(())
}

fn check_nested(message: &MessageDescriptor) -> Result<()> {
    let mut scope = Scope::default();
    for child in message.child_messages().filter(|child| !child.is_map_entry()) {
        scope.declare(
            names::camel(child.name()),
            format!("message {}", child.full_name()),
        )?;
        check_nested(&child)?;
    }
    for enumeration in message.child_enums() {
        scope.declare(
            names::camel(enumeration.name()),
            format!("enum {}", enumeration.full_name()),
        )?;
    }
    for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
        scope.declare(names::camel(oneof.name()), format!("oneof {}", oneof.full_name()))?;
    }
    Ok(())
}

/// The types that are declared beside each other, and what declared them.
#[derive(Default)]
struct Scope(BTreeMap<String, String>);

impl Scope {
    fn declare(&mut self, name: String, by: String) -> Result<()> {
        match self.0.get(&name) {
            Some(other) => Err(Error::new(format!(
                "{other} and {by} would both be the Rust type {name}; rename one of them in the .proto"
            ))),
            None => {
                self.0.insert(name, by);
                Ok(())
            }
        }
    }
}
