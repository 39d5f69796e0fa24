//! Finding programs.

use std::ffi::OsStr;
use std::path::PathBuf;

/// Where a program is: in the search path, or where Debian keeps those of administrators and Go its own.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    find_in(name, &std::env::var_os("PATH").unwrap_or_default())
}

fn find_in(name: &str, search_path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(search_path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/go/bin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_along_the_search_path_and_a_folder_is_none() {
        let folder = crate::cargo::root();
        assert_eq!(
            find_in("Cargo.toml", folder.as_os_str()),
            Some(folder.join("Cargo.toml"))
        );
        assert_eq!(find_in("xtask", folder.as_os_str()), None);
        assert_eq!(find("a program that nobody has"), None);
    }
}
