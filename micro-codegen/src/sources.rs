//! Reads `.proto` files, and everything that they import, without protoc.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use prost_reflect::DescriptorPool;
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};

use crate::{Error, Result};

const BUNDLED: [(&str, &str); 2] = [
    (
        "google/api/annotations.proto",
        include_str!("protos/google/api/annotations.proto"),
    ),
    (
        "google/api/http.proto",
        include_str!("protos/google/api/http.proto"),
    ),
];

/// What was read.
pub(crate) struct Sources {
    /// The descriptors of all files, options included.
    pub(crate) pool: DescriptorPool,
    /// The names of the files to generate code for: those that were asked for, and what they import.
    pub(crate) names: BTreeSet<String>,
    /// Where the files are, to be watched by cargo.
    pub(crate) paths: Vec<PathBuf>,
}

/// Reads the files and what they import.
pub(crate) fn read(protos: &[PathBuf], includes: &[PathBuf]) -> Result<Sources> {
    check_arguments(protos, includes)?;
    let mut resolver = ChainFileResolver::new();
    for include in includes {
        resolver.add(IncludeFileResolver::new(include.clone()));
    }
    resolver.add(Bundled);
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(true);
    for proto in protos {
        compiler
            .open_file(proto)
            .map_err(|error| unreadable(proto, includes, &error))?;
    }
    let wanted = |file: &&protox::file::FileMetadata| !file.is_import() || !is_provided(file.name());
    Ok(Sources {
        names: compiler
            .files()
            .filter(wanted)
            .map(|file| file.name().to_owned())
            .collect(),
        paths: compiler
            .files()
            .filter_map(|file| file.path().map(Path::to_owned))
            .collect(),
        pool: compiler.descriptor_pool(),
    })
}

/// Whether a file that was only imported needs no code: its types are there already, or it declares options only.
pub(crate) fn is_provided(name: &str) -> bool {
    name.starts_with("google/protobuf/") || BUNDLED.iter().any(|(bundled, _)| *bundled == name)
}

fn check_arguments(protos: &[PathBuf], includes: &[PathBuf]) -> Result<()> {
    if protos.is_empty() {
        return Err(Error::new(
            "no .proto file was given: name at least one, such as compile_protos(&[\"proto/hello.proto\"], &[\"proto\"])",
        ));
    }
    match includes.iter().find(|include| !include.is_dir()) {
        Some(missing) => Err(Error::new(format!(
            "include directory {} does not exist or is not a directory; paths are relative to the crate's root, here {}",
            missing.display(),
            current_directory()
        ))),
        None => Ok(()),
    }
}

fn unreadable(proto: &Path, includes: &[PathBuf], error: &protox::Error) -> Error {
    let searched = || {
        let names: Vec<String> = includes.iter().map(|path| path.display().to_string()).collect();
        names.join(", ")
    };
    // The debug form says `file:line:column: message` on one line.
    let problem = format!("{error:?}");
    if error.is_file_not_found() && !proto.exists() && error.file().is_none() {
        return Error::new(format!(
            "{} does not exist; paths are relative to the crate's root, here {}, or to an include directory: {}",
            proto.display(),
            current_directory(),
            searched()
        ));
    }
    let advice = if error.is_file_not_found() && error.file().is_some() {
        format!(
            "; the include directories are {}: add the one that the import is relative to",
            searched()
        )
    } else if error.is_file_not_found() {
        format!(
            "; the include directories are {}: add one that contains it",
            searched()
        )
    } else {
        String::new()
    };
    Error::new(format!("cannot compile {}: {problem}{advice}", proto.display()))
}

fn current_directory() -> String {
    std::env::current_dir().map_or_else(|_| ".".into(), |path| path.display().to_string())
}

/// The files that this crate brings along, unless the include directories have them.
struct Bundled;

impl FileResolver for Bundled {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match BUNDLED.iter().find(|(bundled, _)| *bundled == name) {
            Some((_, source)) => File::from_source(name, source),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}
