//! What files are like, so that a change is noticed without reading them.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::{Error, ErrorKind, Format, Result};

/// How many files a directory may have.
const MOST_FILES: usize = 4096;

/// What the files of a path are like.
#[derive(Clone, PartialEq)]
pub(super) struct Stamps(pub(super) Vec<Stamp>);

/// What a file is like.
#[derive(Clone, PartialEq)]
pub(super) struct Stamp {
    pub(super) path: PathBuf,
    pub(super) format: Format,
    /// Where the symbolic links lead.
    real: PathBuf,
    length: u64,
    modified: Option<SystemTime>,
    /// Which file it is. The number of one that is gone is soon another's.
    number: u64,
    created: Option<SystemTime>,
}

impl Stamps {
    /// How many bytes they have together.
    pub(super) fn length(&self) -> u64 {
        let lengths = self.0.iter().map(|stamp| stamp.length);
        lengths.fold(0, u64::saturating_add)
    }

    /// Whether one was written within this time, by the clock that its time is from.
    pub(super) fn are_younger_than(&self, age: Duration) -> bool {
        let now = SystemTime::now();
        self.0.iter().any(|stamp| stamp.is_younger_than(age, now))
    }

    /// Whether those that were written within this time are other files than before: what replaces a file is whole, as far
    /// as anybody can tell.
    pub(super) fn are_others_where_younger(&self, age: Duration, before: &Self) -> bool {
        let now = SystemTime::now();
        let mut young = self.0.iter().filter(|stamp| stamp.is_younger_than(age, now));
        young.all(|stamp| !before.0.iter().any(|before| before.is_same_file(stamp)))
    }
}

impl Stamp {
    fn is_younger_than(&self, age: Duration, now: SystemTime) -> bool {
        let since = self
            .modified
            .and_then(|modified| now.duration_since(modified).ok());
        since.is_some_and(|since| since < age)
    }

    fn is_same_file(&self, other: &Self) -> bool {
        self.path == other.path && self.number == other.number && self.created == other.created
    }
}

/// Looks at a file, or at those in a directory whose format is known, by name.
///
/// # Errors
///
/// Missing where there is nothing.
pub(super) fn stamps(path: &Path, format: Option<Format>) -> Result<Stamps> {
    let about = fs::metadata(path).map_err(|problem| failed(path, &problem))?;
    if !about.is_dir() {
        let Some(format) = format.or_else(|| of_name(path)) else {
            return Err(Error::new(
                ErrorKind::Misused,
                format_args!(
                    "{}: its extension tells no format: name it .json, .yaml, .yml or .toml, or say the format",
                    path.display()
                ),
            ));
        };
        return Ok(Stamps(vec![stamp(path, format, &about)?]));
    }
    let mut stamps = Vec::new();
    for entry in fs::read_dir(path).map_err(|problem| failed(path, &problem))? {
        let entry = entry.map_err(|problem| failed(path, &problem))?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let file = entry.path();
        let Some(format) = format.or_else(|| of_name(&file)) else {
            continue;
        };
        let about = match fs::metadata(&file) {
            Ok(about) if about.is_file() => about,
            Ok(_) => continue,
            // It was removed just now, or is a link that leads nowhere.
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => continue,
            Err(problem) => return Err(failed(&file, &problem)),
        };
        if stamps.len() == MOST_FILES {
            return Err(Error::new(
                ErrorKind::Misused,
                format_args!("{}: it holds more than {MOST_FILES} files", path.display()),
            ));
        }
        stamps.push(stamp(&file, format, &about)?);
    }
    stamps.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(Stamps(stamps))
}

fn of_name(path: &Path) -> Option<Format> {
    Format::of_extension(path.extension()?.to_str()?)
}

fn stamp(path: &Path, format: Format, about: &Metadata) -> Result<Stamp> {
    if !about.is_file() {
        return Err(Error::new(
            ErrorKind::Misused,
            format_args!("{}: it is neither a file nor a directory", path.display()),
        ));
    }
    Ok(Stamp {
        path: path.to_owned(),
        format,
        real: fs::canonicalize(path).map_err(|problem| failed(path, &problem))?,
        length: about.len(),
        modified: about.modified().ok(),
        number: number(about),
        created: about.created().ok(),
    })
}

#[cfg(unix)]
fn number(about: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(about)
}

#[cfg(not(unix))]
fn number(_: &Metadata) -> u64 {
    0
}

/// What the system says about a file.
pub(super) fn failed(path: &Path, problem: &io::Error) -> Error {
    let kind = match problem.kind() {
        io::ErrorKind::NotFound => ErrorKind::Missing,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format_args!("{}: {problem}", path.display()))
}
