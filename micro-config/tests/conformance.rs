//! The contract of sources, held to by those of this crate.
#![allow(clippy::unwrap_used, reason = "tests")]

mod memory {
    use std::convert::Infallible;

    use micro_config::{Error, ErrorKind, Memory, Result, Source, async_trait};
    use micro_testkit::config::{Place, SourceTraits};
    use serde_json::Value;

    struct InMemory(Memory);

    #[async_trait]
    impl Place for InMemory {
        async fn source(&self) -> Result<Box<dyn Source>> {
            Ok(Box::new(self.0.clone()))
        }

        async fn put(&self, text: &str) -> Result<()> {
            let values = serde_json::from_str::<Value>(text);
            self.0
                .replace(values.map_err(|error| Error::new(ErrorKind::Invalid, error))?);
            Ok(())
        }

        async fn remove(&self) -> Result<()> {
            Err(Error::new(ErrorKind::Misused, "it is never missing"))
        }
    }

    micro_testkit::source_conformance!(
        || async { Ok::<_, Infallible>(InMemory(Memory::new())) },
        SourceTraits {
            malformed: false,
            removable: false,
            ..SourceTraits::default()
        },
    );
}

#[cfg(feature = "file")]
mod files {
    use std::fs;
    use std::io;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use micro_config::{Error, ErrorKind, File, Result, Source, async_trait};
    use micro_testkit::config::Place;
    use tempfile::TempDir;

    /// How a file is written, and what the source reads.
    #[derive(Clone, Copy, PartialEq)]
    pub(super) enum Way {
        InPlace,
        ByRename,
        InDirectory,
        ByLink,
    }

    pub(super) struct OnDisk {
        directory: TempDir,
        way: Way,
        generation: AtomicUsize,
    }

    impl OnDisk {
        pub(super) async fn new(way: Way) -> io::Result<Self> {
            Ok(Self {
                directory: TempDir::new()?,
                way,
                generation: AtomicUsize::new(0),
            })
        }

        fn read_at(&self) -> PathBuf {
            match self.way {
                Way::InDirectory => self.directory.path().join("conf.d"),
                _ => self.directory.path().join("conf.json"),
            }
        }

        fn write(&self, text: &str) -> io::Result<()> {
            let directory = self.directory.path();
            let file = directory.join("conf.json");
            let generation = self.generation.fetch_add(1, Ordering::Relaxed);
            match self.way {
                Way::InPlace => fs::write(file, text),
                Way::ByRename => {
                    let new = directory.join(".conf.json.new");
                    fs::write(&new, text)?;
                    fs::rename(new, file)
                }
                Way::InDirectory => {
                    let directory = directory.join("conf.d");
                    fs::create_dir_all(&directory)?;
                    fs::write(directory.join("10-conf.json"), text)
                }
                Way::ByLink => self.swap(generation, text),
            }
        }

        /// As Kubernetes does: the files of a ConfigMap are links through one that is turned to another directory.
        #[cfg(unix)]
        fn swap(&self, generation: usize, text: &str) -> io::Result<()> {
            use std::os::unix::fs::symlink;

            let directory = self.directory.path();
            let data = format!("..data-{generation}");
            fs::create_dir(directory.join(&data))?;
            fs::write(directory.join(&data).join("conf.json"), text)?;
            symlink(&data, directory.join("..data_tmp"))?;
            fs::rename(directory.join("..data_tmp"), directory.join("..data"))?;
            if !directory.join("conf.json").is_symlink() {
                symlink("..data/conf.json", directory.join("conf.json"))?;
            }
            if generation > 0 {
                let _ = fs::remove_dir_all(directory.join(format!("..data-{}", generation - 1)));
            }
            Ok(())
        }

        #[cfg(not(unix))]
        fn swap(&self, _: usize, _: &str) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    #[async_trait]
    impl Place for OnDisk {
        async fn source(&self) -> Result<Box<dyn Source>> {
            Ok(Box::new(File::new(self.read_at())))
        }

        async fn put(&self, text: &str) -> Result<()> {
            self.write(text)
                .map_err(|problem| Error::new(ErrorKind::Unavailable, problem))
        }

        async fn remove(&self) -> Result<()> {
            let path = self.read_at();
            let removed = match self.way {
                Way::InDirectory => fs::remove_dir_all(path),
                _ => fs::remove_file(path),
            };
            removed.map_err(|problem| Error::new(ErrorKind::Unavailable, problem))
        }
    }
}

#[cfg(feature = "file")]
mod file_written_in_place {
    use super::files::{OnDisk, Way};

    micro_testkit::source_conformance!(|| OnDisk::new(Way::InPlace));
}

#[cfg(feature = "file")]
mod file_replaced {
    use super::files::{OnDisk, Way};

    micro_testkit::source_conformance!(|| OnDisk::new(Way::ByRename));
}

#[cfg(feature = "file")]
mod directory {
    use super::files::{OnDisk, Way};

    micro_testkit::source_conformance!(|| OnDisk::new(Way::InDirectory));
}

#[cfg(all(feature = "file", unix))]
mod config_map {
    use super::files::{OnDisk, Way};

    micro_testkit::source_conformance!(|| OnDisk::new(Way::ByLink));
}
