//! Building servers that are written in Go, from committed versions and checksums.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::programs;
use super::site::Site;
use crate::{cargo, steps};

/// Builds a package of the server's Go module, unless that was done before with the same versions, flags and Go.
///
/// # Errors
///
/// Fails if Go is missing or too old, or the build fails.
pub(super) fn build(
    site: &Site<'_>,
    package: &str,
    program: &str,
    linker_flags: &str,
) -> Result<PathBuf, String> {
    let module = cargo::root().join("xtask/backends").join(site.name);
    let go = find()?;
    let built = site.home.program(program);
    let mark = built.with_extension("built");
    let wanted = identity(&go, &module, linker_flags)?;
    if built.is_file() && fs::read_to_string(&mark).is_ok_and(|text| text == wanted) {
        return Ok(built);
    }
    let _ = fs::remove_file(&mark);
    let mut command = in_module(&go, &module);
    command
        .args(["build", "-ldflags", linker_flags, "-o"])
        .arg(&built)
        .arg(package);
    site.run(&format!("go build {package}"), &mut command)?;
    fs::write(&mark, wanted).map_err(|error| format!("{} cannot be written: {error}", mark.display()))?;
    Ok(built)
}

/// A command of Go in the folder of a module, which fixes the versions and checksums of what is built.
///
/// # Errors
///
/// Fails if Go is missing.
pub(crate) fn command(module: &Path) -> Result<Command, String> {
    Ok(in_module(&find()?, module))
}

fn find() -> Result<PathBuf, String> {
    programs::find("go").ok_or_else(|| {
        "it is built from source, and Go is not installed: see https://go.dev/doc/install".to_owned()
    })
}

/// Go's flags stay at their defaults, so that it shares compiled packages with whatever else it builds here.
fn in_module(go: &Path, module: &Path) -> Command {
    let mut command = Command::new(go);
    command
        .current_dir(module)
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-mod=readonly -buildvcs=false")
        .env("GOWORK", "off");
    command
}

/// All that a built program depends on, as one text.
fn identity(go: &Path, module: &Path, linker_flags: &str) -> Result<String, String> {
    let path = module.join("go.mod");
    let versions =
        fs::read_to_string(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let go = steps::captured(in_module(go, module).arg("version"))?;
    Ok(format!(
        "{}{linker_flags}\n{versions}",
        String::from_utf8_lossy(&go)
    ))
}
