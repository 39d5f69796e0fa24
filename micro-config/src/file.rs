//! Files and directories.

mod following;
mod stamp;
mod text;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::{Document, Error, ErrorKind, Format, Result, Source};
use following::Following;
use stamp::Stamps;

/// How long a file must have been left alone before it is read, so that one that is written in steps is read after the
/// last.
const SETTLED: Duration = Duration::from_millis(50);
/// How often it is looked at again because somebody wrote meanwhile, and after how many looks one that was replaced as a
/// whole need not be left alone any more.
const LOOKS: u32 = 60;
const PATIENT_LOOKS: u32 = 20;
/// How many files of the size of the largest all files of a directory may be as large as together.
const LARGEST_ONES: u64 = 4;

/// A file, or all files of a directory.
///
/// Of a directory, the files whose extension tells a format are read in the order of their names, so that
/// `20-mine.toml` wins over `10-base.yaml`; hidden ones and directories in it are left out.
///
/// It is seen when a file is written, replaced by another, removed and made again, and when one of the symbolic links
/// on the way to it is turned elsewhere, as Kubernetes does with the files of a ConfigMap. The system tells of that,
/// and once in a while the files are looked at besides, for file systems that tell nothing.
///
/// A file that was written less than 50 ms ago is not read before it is left alone for so long. One that is replaced by
/// another all the time is read after a second all the same, where it stays the same while it is read; one that is written
/// in place all the time cannot be read. A file without a byte in it, where it said something before, cannot be read
/// either: whoever writes it has only begun.
pub struct File {
    path: PathBuf,
    format: Option<Format>,
    poll: Duration,
    largest: u64,
    following: Following,
    /// What the files were like when they were read last. None: they could not be.
    seen: Option<Stamps>,
    /// The files that had a text when all could be read last.
    filled: BTreeSet<PathBuf>,
}

impl File {
    /// A file or a directory. The extension tells the format: `json`, `yaml`, `yml` or `toml`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: None,
            poll: Duration::from_secs(1),
            largest: 16 * 1024 * 1024,
            following: Following::default(),
            seen: None,
            filled: BTreeSet::new(),
        }
    }

    /// The format, whatever the extension says. Of a directory, all files are read then.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.format = Some(format);
        self
    }

    /// How often to look whether it changed, besides being told by the system. Default: every second.
    #[must_use]
    pub fn poll(mut self, poll: Duration) -> Self {
        self.poll = poll.max(Duration::from_millis(10));
        self
    }

    /// How many bytes a file may have; a larger one is an error, and so are files of a directory that together have more
    /// than four times as many. Default: 16 MiB.
    #[must_use]
    pub fn largest(mut self, bytes: u64) -> Self {
        self.largest = bytes;
        self
    }

    async fn stamps(&self) -> Result<Stamps> {
        let (path, format) = (self.path.clone(), self.format);
        blocking(&self.path, move || stamp::stamps(&path, format)).await
    }

    async fn texts(&self, stamps: &Stamps) -> Result<Vec<Document>> {
        let (stamps, largest) = (stamps.clone(), self.largest);
        let together = largest.saturating_mul(LARGEST_ONES);
        if stamps.length() > together {
            return Err(Error::new(
                ErrorKind::Invalid,
                format_args!(
                    "{}: its files have more than {together} bytes together: make them smaller, or allow more",
                    self.path.display()
                ),
            ));
        }
        blocking(&self.path, move || text::documents(&stamps, largest)).await
    }

    async fn settled(&mut self) -> Result<Vec<Document>> {
        let mut stamps = self.stamps().await?;
        let mut is_whole = false;
        for look in 0..LOOKS {
            if !is_whole && stamps.are_younger_than(SETTLED) {
                sleep(SETTLED).await;
                let now = self.stamps().await?;
                if now != stamps {
                    is_whole = look >= PATIENT_LOOKS && now.are_others_where_younger(SETTLED, &stamps);
                    stamps = now;
                    continue;
                }
            }
            let documents = self.texts(&stamps).await;
            let now = self.stamps().await?;
            if now == stamps {
                let documents = self.begun(&stamps, documents?)?;
                self.seen = Some(stamps);
                return Ok(documents);
            }
            is_whole = false;
            stamps = now;
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            format_args!(
                "{}: somebody writes to it all the time: rename a finished file into its place",
                self.path.display()
            ),
        ))
    }

    /// The documents, unless one is nothing but begun: what writes a file anew empties it first, and may take its time or
    /// fail then.
    fn begun(&mut self, stamps: &Stamps, documents: Vec<Document>) -> Result<Vec<Document>> {
        let mut filled = BTreeSet::new();
        for (stamp, document) in stamps.0.iter().zip(&documents) {
            if !document.is_empty() {
                filled.insert(stamp.path.clone());
            } else if self.filled.contains(&stamp.path) {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    format_args!(
                        "{}: it has become empty, so that whoever writes it is not done: where it is to say nothing, write a \
                         comment or a line",
                        stamp.path.display()
                    ),
                ));
            }
        }
        self.filled = filled;
        Ok(documents)
    }
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Unavailable,
            format_args!("{}: reading it was given up", path.display()),
        ))
    })
}

impl fmt::Display for File {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "file {}", self.path.display())
    }
}

#[async_trait]
impl Source for File {
    async fn read(&mut self) -> Result<Vec<Document>> {
        self.seen = None;
        self.following.follow(&self.path).await;
        self.settled().await
    }

    async fn changed(&mut self) -> Result<()> {
        loop {
            tokio::select! {
                () = self.following.told() => return Ok(()),
                () = sleep(self.poll) => {}
            }
            if self.stamps().await.ok() != self.seen {
                return Ok(());
            }
        }
    }
}
