//! Compiles protos that are given as text.

use std::fs;
use std::path::{Path, PathBuf};

use micro_codegen::{Builder, Result};

/// A directory of protos and of what was generated from them.
pub(crate) struct Compiled {
    directory: tempfile::TempDir,
}

impl Compiled {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, source) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, source).unwrap();
        }
        Self { directory }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Generates the code of some of the files.
    pub(crate) fn compile(&self, protos: &[&str], builder: Builder) -> Result<()> {
        let protos: Vec<PathBuf> = protos.iter().map(|name| self.file(name)).collect();
        builder
            .cargo_directives(false)
            .out_dir(self.path())
            .compile_protos(&protos, &[self.path()])
    }
}

/// The error of one proto.
pub(crate) fn refused(source: &str) -> String {
    let compiled = Compiled::new(&[("test.proto", source)]);
    compiled
        .compile(&["test.proto"], Builder::new())
        .expect_err("the proto was accepted")
        .to_string()
}

/// The code of one proto of the package `test`.
pub(crate) fn generated(source: &str, builder: Builder) -> String {
    let compiled = Compiled::new(&[("test.proto", source)]);
    compiled.compile(&["test.proto"], builder).unwrap();
    fs::read_to_string(compiled.file("test.rs")).unwrap()
}
