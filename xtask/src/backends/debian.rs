//! Installing Debian's packages, without letting them start services of their own.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use super::programs;
use super::site::Site;

/// What Debian asks whether a package may start its service; 101 forbids it.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs packages, each as `name` or `name=version`.
///
/// # Errors
///
/// Fails where there is no `apt-get`, without root's rights, and if the installation fails.
pub(super) fn install(site: &Site<'_>, packages: &[&str]) -> Result<(), String> {
    let names: Vec<_> = packages
        .iter()
        .map(|package| package.split('=').next().unwrap_or(package))
        .collect();
    let names = names.join(" ");
    if programs::find("apt-get").is_none() {
        return Err(format!(
            "it is not installed, and there is no apt-get to install Debian's {names}: install it with this machine's package manager"
        ));
    }
    if !is_root() {
        return Err(format!(
            "it is not installed: `sudo apt-get install --no-install-recommends {names}`"
        ));
    }
    let _quiet = NoServices::forbid()?;
    if attempt(site, packages).is_ok() {
        return Ok(());
    }
    // The lists of packages may be missing or old.
    site.run(
        "apt-get update",
        Command::new("apt-get").args(["-o", "DPkg::Lock::Timeout=300", "update"]),
    )?;
    attempt(site, packages)
}

fn attempt(site: &Site<'_>, packages: &[&str]) -> Result<(), String> {
    let options = [
        "-o",
        "DPkg::Lock::Timeout=300",
        "install",
        "-y",
        "--no-install-recommends",
    ];
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(options)
        .args(packages);
    site.run(&format!("apt-get install {}", packages.join(" ")), &mut command)
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// Keeps packages from starting services for as long as it lives.
struct NoServices {
    is_ours: bool,
}

impl NoServices {
    fn forbid() -> Result<Self, String> {
        if Path::new(POLICY).exists() {
            return Ok(Self { is_ours: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n")
            .and_then(|()| fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)))
            .map_err(|error| format!("{POLICY} cannot be written: {error}"))?;
        Ok(Self { is_ours: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.is_ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}
