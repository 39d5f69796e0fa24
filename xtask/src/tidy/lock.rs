//! What must not be in the lock file.

use std::fs;
use std::path::Path;

/// `ring` is the only cryptography in the tree; these come in through default features that were left on.
const FORBIDDEN: &[&str] = &["aws-lc-rs", "aws-lc-sys", "openssl", "openssl-sys", "native-tls"];

/// The forbidden packages in the workspace's `Cargo.lock`.
///
/// # Errors
///
/// Fails if the lock file cannot be read.
pub(super) fn complaints(root: &Path) -> Result<Vec<String>, String> {
    let path = root.join("Cargo.lock");
    let lock =
        fs::read_to_string(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok(forbidden(&lock).map(complaint).collect())
}

fn forbidden(lock: &str) -> impl Iterator<Item = &'static str> {
    FORBIDDEN
        .iter()
        .copied()
        .filter(|name| lock.lines().any(|line| line == format!("name = \"{name}\"")))
}

fn complaint(name: &str) -> String {
    format!(
        "Cargo.lock: {name} is in it, but `ring` is our only cryptography: `cargo tree --workspace --invert {name} \
         --edges features` shows who asks for it; switch that default feature off"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_found_by_its_whole_name() {
        let lock = "[[package]]\nname = \"aws-lc-sys\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"openssl-probe\"\n";
        assert_eq!(forbidden(lock).collect::<Vec<_>>(), ["aws-lc-sys"]);
    }
}
