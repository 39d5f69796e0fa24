//! The texts of files.

use std::fs;
use std::io::Read;

use super::stamp::{Stamp, Stamps, failed};
use crate::{Document, Error, ErrorKind, Result};

/// Reads files.
///
/// # Errors
///
/// Where one is gone or cannot be read, is larger than this, or is no UTF-8.
pub(super) fn documents(stamps: &Stamps, largest: u64) -> Result<Vec<Document>> {
    stamps.0.iter().map(|stamp| document(stamp, largest)).collect()
}

fn document(stamp: &Stamp, largest: u64) -> Result<Document> {
    let path = &stamp.path;
    let file = fs::File::open(path).map_err(|problem| failed(path, &problem))?;
    let mut bytes = Vec::new();
    let read = file.take(largest.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|problem| failed(path, &problem))?;
    let name = path.display();
    if bytes.len() as u64 > largest {
        return Err(Error::new(
            ErrorKind::Invalid,
            format_args!("{name}: it has more than {largest} bytes: make it smaller, or allow more"),
        ));
    }
    let text = String::from_utf8(bytes).map_err(|problem| {
        let valid = &problem.as_bytes()[..problem.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        Error::new(
            ErrorKind::Invalid,
            format_args!("{name} line {line}: it is not UTF-8"),
        )
    })?;
    Ok(Document::text(name.to_string(), stamp.format, text))
}
