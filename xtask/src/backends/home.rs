//! Where programs, data, logs and the records of running servers are kept.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::{cargo, steps};

/// The folder of all that the servers need and leave behind.
pub(super) struct Home {
    root: PathBuf,
}

impl Home {
    /// The folder that `MICRO_BACKENDS_HOME` names, else `target/backends`; made if it is missing.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be made.
    pub(super) fn open() -> Result<Self, String> {
        let root = std::env::var_os("MICRO_BACKENDS_HOME").filter(|value| !value.is_empty());
        let root = root.map_or_else(|| cargo::root().join("target/backends"), PathBuf::from);
        Self::at(&root)
    }

    /// The given folder, made if it is missing.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be made.
    pub(super) fn at(root: &Path) -> Result<Self, String> {
        for part in ["bin", "data", "logs", "run"] {
            make(&root.join(part))?;
        }
        let root = root
            .canonicalize()
            .map_err(|error| format!("the folder {} cannot be found: {error}", root.display()))?;
        Ok(Self { root })
    }

    /// Where a built program is.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.root.join("bin").join(name)
    }

    /// A server's own folder for data and configuration; made if it is missing.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be made.
    pub(super) fn data(&self, name: &str) -> Result<PathBuf, String> {
        let folder = self.root.join("data").join(name);
        make(&folder)?;
        Ok(folder)
    }

    /// The log of a server or of an installation.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.root.join("logs").join(format!("{name}.log"))
    }

    /// The record of what was started for a server.
    pub(super) fn record(&self, name: &str) -> PathBuf {
        self.root.join("run").join(name)
    }

    /// Waits until no other task starts or stops servers of this folder, for as long as the result lives.
    ///
    /// # Errors
    ///
    /// Fails if the lock file cannot be used.
    pub(super) fn lock(&self) -> Result<File, String> {
        let path = self.root.join("lock");
        let failed = |error: std::io::Error| format!("the lock {} cannot be taken: {error}", path.display());
        let file = File::create(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                steps::announce("waiting for another `cargo xtask` that starts or stops servers");
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.lock().map_err(failed)?;
        Ok(file)
    }
}

fn make(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder)
        .map_err(|error| format!("the folder {} cannot be made: {error}", folder.display()))
}
