//! What a server's installation can use.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::home::Home;
use super::{debian, golang, process, programs};
use crate::steps;

const SAY_SO_EVERY: Duration = Duration::from_secs(10);

/// The place where one server is installed.
pub(super) struct Site<'a> {
    pub(super) home: &'a Home,
    pub(super) name: &'static str,
}

impl Site<'_> {
    /// A program's path, after its package was installed if it was missing.
    ///
    /// # Errors
    ///
    /// Fails if the package cannot be installed, and says what to do.
    pub(super) fn program(&self, name: &str, packages: &[&str]) -> Result<PathBuf, String> {
        if let Some(path) = programs::find(name) {
            return Ok(path);
        }
        debian::install(self, packages)?;
        programs::find(name).ok_or_else(|| format!("{} came without the program {name}", packages.join(" ")))
    }

    /// A path, after its package was installed if it was missing.
    ///
    /// # Errors
    ///
    /// As [`Self::program`].
    pub(super) fn file<'p>(&self, path: &'p str, packages: &[&str]) -> Result<&'p str, String> {
        if !Path::new(path).exists() {
            debian::install(self, packages)?;
        }
        if Path::new(path).exists() {
            Ok(path)
        } else {
            Err(format!("{} came without {path}", packages.join(" ")))
        }
    }

    /// A program that Go builds from the versions in `xtask/backends/<name of the server>`.
    ///
    /// # Errors
    ///
    /// Fails if Go is missing or the build fails.
    pub(super) fn go_build(
        &self,
        package: &str,
        program: &str,
        linker_flags: &str,
    ) -> Result<PathBuf, String> {
        golang::build(self, package, program, linker_flags)
    }

    /// The server's own folder for data and configuration.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be made.
    pub(super) fn data(&self) -> Result<PathBuf, String> {
        self.home.data(self.name)
    }

    /// Writes a file into the server's own folder.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be written.
    pub(super) fn write(&self, file: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.data()?.join(file);
        fs::write(&path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        Ok(path)
    }

    /// Runs a command to its end with its output in a log, and tells now and then that it goes on.
    ///
    /// # Errors
    ///
    /// Fails if the command does, with the end of the log.
    pub(super) fn run(&self, doing: &str, command: &mut Command) -> Result<(), String> {
        let log = self.home.log(&format!("{}-install", self.name));
        let unwritable =
            |error: std::io::Error| format!("the log {} cannot be written: {error}", log.display());
        let mut output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(unwritable)?;
        writeln!(output, "# {doing}").map_err(unwritable)?;
        let errors = output.try_clone().map_err(unwritable)?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        steps::announce(&format!("{}: {doing}", self.name));
        let began = Instant::now();
        let mut child = command
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", command.get_program().display()))?;
        let mut said = 0;
        let status = loop {
            if let Some(status) = child.try_wait().map_err(|error| format!("{doing}: {error}"))? {
                break status;
            }
            let times = began.elapsed().as_secs() / SAY_SO_EVERY.as_secs();
            if times > said {
                said = times;
                let so_far = steps::seconds(began.elapsed());
                steps::note(
                    "still",
                    &format!("{}: {doing} ({so_far}; log {})", self.name, log.display()),
                );
            }
            process::pause(Duration::from_millis(50));
        };
        if status.success() {
            let took = steps::seconds(began.elapsed());
            steps::note("done", &format!("{}: {doing} ({took})", self.name));
            return Ok(());
        }
        Err(format!("{doing} ended with {status}:\n{}", last_lines(&log)))
    }
}

/// The end of a log, indented, with its path.
pub(super) fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    let end = lines[lines.len().saturating_sub(15)..].join("\n    ");
    format!("    {end}\n  (all of it in {})", log.display())
}
