//! Names that say nothing.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc"];

/// Files and folders of the workspace whose name could hold anything.
///
/// # Errors
///
/// Fails if a directory cannot be read.
pub(super) fn complaints(root: &Path) -> Result<Vec<String>, String> {
    let mut complaints = Vec::new();
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for path in entries(&directory)? {
            if says_nothing(&path) {
                let place = path.strip_prefix(root).unwrap_or(&path);
                complaints.push(format!(
                    "{}: its name says nothing; name the one idea that it holds",
                    place.display()
                ));
            }
            if path.is_dir() && !path.is_symlink() && is_ours(&path, root) {
                directories.push(path);
            }
        }
    }
    complaints.sort();
    Ok(complaints)
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable =
        |error: std::io::Error| format!("the folder {} cannot be read: {error}", directory.display());
    let entries = fs::read_dir(directory).map_err(unreadable)?;
    entries
        .map(|entry| entry.map(|entry| entry.path()).map_err(unreadable))
        .collect()
}

fn says_nothing(path: &Path) -> bool {
    let is_folder_or_source = path.is_dir() || path.extension().is_some_and(|extension| extension == "rs");
    is_folder_or_source
        && path
            .file_stem()
            .and_then(OsStr::to_str)
            .is_some_and(|stem| EMPTY_NAMES.contains(&stem))
}

/// Whether a folder holds what we wrote, and not what tools put there.
fn is_ours(directory: &Path, root: &Path) -> bool {
    let name = directory.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let is_build_output = name == "target" || directory.join("CACHEDIR.TAG").is_file();
    let is_other_checkout = directory != root && directory.join(".git").exists();
    !name.starts_with('.') && name != "node_modules" && !is_build_output && !is_other_checkout
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_hold_anything_are_refused() {
        assert!(says_nothing(Path::new("src/util.rs")));
        assert!(says_nothing(Path::new("tests/helpers.rs")));
        assert!(!says_nothing(Path::new("src/balance.rs")));
        assert!(!says_nothing(Path::new("docs/common.md")));
    }

    #[test]
    fn tool_folders_are_not_searched() {
        assert!(!is_ours(Path::new("/w/.git"), Path::new("/w")));
        assert!(!is_ours(Path::new("/w/target"), Path::new("/w")));
        assert!(is_ours(Path::new("/w/plugins"), Path::new("/w")));
    }
}
