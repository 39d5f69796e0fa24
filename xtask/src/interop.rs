//! `cargo xtask interop`: the public interoperability tests of gRPC.

use std::path::{Path, PathBuf};

use crate::{backends, cargo, steps};

pub(crate) const HELP: &str = "\
Run gRPC's public interoperability tests

Usage: cargo xtask interop [--plaintext | --tls] [--case <part of a name>]

Builds the interoperability client and server of google.golang.org/grpc with Go, from the versions and checksums in
xtask/interop/, and runs every case that needs no cloud: their client calls a service over micro-grpc, and a
client over micro-grpc calls their server. Prints a line for each case, and at the end how many passed; ends with
an error unless all did.

Without options the cases run twice, over plain connections and over TLS. Their server listens at all addresses of
the machine while it runs, and is called over loopback. Programs and certificates are under target/interop.

Examples:
  cargo xtask interop
  cargo xtask interop --tls --case metadata
";

/// The packages of the programs.
const PACKAGES: [&str; 2] = [
    "google.golang.org/grpc/interop/client",
    "google.golang.org/grpc/interop/server",
];

/// Builds the programs and runs the cases.
///
/// # Errors
///
/// Fails if something does not build, or a case fails.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let programs = target().join("interop");
    let mut steps = steps::Steps::new();
    let mut is_built = false;
    steps.step("gRPC's client and server in Go", || {
        build(&programs).inspect(|()| is_built = true)
    });
    if is_built {
        steps.step("the interoperability tests", || cases(&programs, arguments));
    }
    steps.finish()
}

fn build(programs: &Path) -> Result<(), String> {
    std::fs::create_dir_all(programs)
        .map_err(|error| format!("the folder {} cannot be made: {error}", programs.display()))?;
    let mut go = backends::go(&cargo::root().join("xtask/interop"))?;
    // Names each package as it is compiled, and a program that is up to date is not linked again.
    steps::shown(go.args(["build", "-v", "-o"]).arg(programs).args(PACKAGES))
}

fn cases(programs: &Path, arguments: &[String]) -> Result<(), String> {
    let mut command = cargo::command(["run", "--quiet", "--package", "integration-tests", "--bin"]);
    command.args(["grpc-interop", "--", "--programs"]).arg(programs);
    steps::shown(command.args(arguments))
}

/// Where cargo builds.
fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    cargo::root().join(target.unwrap_or_else(|| "target".into()))
}
