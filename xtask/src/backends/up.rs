//! `cargo xtask backends up`: every server that was asked for, by the first way that works.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::home::Home;
use super::process::{self, Process};
use super::record::Record;
use super::site::{self, Site};
use super::table::{self, Backend};
use super::{compose, down, probe};
use crate::steps;

/// Long, because a machine may be busy with a build beside it.
const START: Duration = Duration::from_secs(120);
/// How long something at a server's port may take to answer as that server.
const FOREIGN_START: Duration = Duration::from_secs(15);

/// Has the named servers running, and those that they need.
///
/// # Errors
///
/// Names those that cannot be had, with the reasons; the others run.
pub(super) fn run(home: &Home, names: &[String]) -> Result<(), String> {
    let backends = table::with_what_they_need(&table::chosen(names)?);
    let _lock = home.lock()?;
    let mut failures: Vec<(&str, String)> = Vec::new();
    for backend in backends {
        let began = Instant::now();
        let missing = failures.iter().find(|(name, _)| backend.needs.contains(name));
        let result = match missing {
            Some((name, _)) => Err(format!("it needs {name}")),
            None => one(home, backend),
        };
        match result {
            Ok(text) => {
                let took = steps::seconds(began.elapsed());
                let (name, address) = (backend.name, backend.address);
                steps::good("ready", &format!("{name} {} at {address} ({took})", text.trim()));
            }
            Err(reason) => {
                steps::failed(backend.name);
                failures.push((backend.name, reason));
            }
        }
    }
    let failures: Vec<_> = failures
        .into_iter()
        .map(|(name, reason)| format!("{name} cannot be had: {reason}"))
        .collect();
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("\n"))
    }
}

/// Installs the programs of the named servers, whoever runs the servers: tests start further ones of their own.
///
/// # Errors
///
/// Names those that cannot be had, with the reasons.
pub(super) fn install(home: &Home, names: &[String]) -> Result<(), String> {
    let _lock = home.lock()?;
    let mut failures = Vec::new();
    for backend in table::chosen(names)? {
        let site = Site {
            home,
            name: backend.name,
        };
        if let Err(reason) = (backend.install)(&site) {
            failures.push(format!("the program of {} cannot be had: {reason}", backend.name));
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("\n"))
    }
}

/// Has one server running, and tells its version and how.
fn one(home: &Home, backend: &Backend) -> Result<String, String> {
    if let Some(version) = found(home, backend)? {
        let record = Record::read(home, backend.name)?;
        let how = if record.runs() || !record.services.is_empty() {
            "runs already"
        } else {
            "found"
        };
        return Ok(format!("{version} {how}"));
    }
    down::one(home, backend.name)?;
    if !backend.services.is_empty() && compose::is_available() {
        match through_compose(home, backend) {
            Ok(version) => return Ok(format!("{version} started by docker compose")),
            Err(reason) => {
                steps::warned(&format!("{}: {reason}", backend.name));
                down::one(home, backend.name)?;
            }
        }
    }
    let version = natively(home, backend).map_err(|reason| format!("{reason}{}", other_ways(backend)))?;
    Ok(format!("{version} started"))
}

fn other_ways(backend: &Backend) -> String {
    if backend.services.is_empty() {
        return String::new();
    }
    format!(
        "\n  other ways: a docker engine with compose, or a server of your own at {}",
        backend.address
    )
}

/// The version of the server that already answers, which may be about to.
fn found(home: &Home, backend: &Backend) -> Result<Option<String>, String> {
    let began = Instant::now();
    loop {
        match (backend.probe)(home) {
            Ok(version) => return Ok(Some(version)),
            Err(_) if !probe::is_open(backend.address) => return Ok(None),
            Err(reason) if began.elapsed() > FOREIGN_START => {
                if Record::read(home, backend.name)?.runs() {
                    return Ok(None);
                }
                return Err(format!(
                    "something else has its address {}, or it is not well: {reason}",
                    backend.address
                ));
            }
            Err(_) => process::pause(Duration::from_millis(200)),
        }
    }
}

fn through_compose(home: &Home, backend: &Backend) -> Result<String, String> {
    let record = Record {
        services: backend
            .services
            .iter()
            .map(|service| (*service).to_owned())
            .collect(),
        ..Record::default()
    };
    // Before the start, so that an interrupted one can be undone.
    record.write(home, backend.name)?;
    let site = Site {
        home,
        name: backend.name,
    };
    site.run(
        &format!("docker compose up {}", backend.services.join(" ")),
        &mut compose::up(backend.services),
    )?;
    ready(home, backend, &mut [])
}

fn natively(home: &Home, backend: &Backend) -> Result<String, String> {
    if !Path::new("/proc/self/stat").exists() {
        return Err("servers are started without docker on Linux alone".to_owned());
    }
    let commands = (backend.install)(&Site {
        home,
        name: backend.name,
    })?;
    let log = home.log(backend.name);
    let _ = std::fs::remove_file(&log);
    let mut children = Vec::new();
    let result =
        start(home, backend, commands, &mut children).and_then(|()| ready(home, backend, &mut children));
    if result.is_err() {
        down::one(home, backend.name)?;
    }
    result.map_err(|reason| format!("{reason}\n{}", site::last_lines(&log)))
}

fn start(
    home: &Home,
    backend: &Backend,
    commands: Vec<Command>,
    children: &mut Vec<Child>,
) -> Result<(), String> {
    let mut record = Record::default();
    for mut command in commands {
        let child = process::spawn(&mut command, &home.log(backend.name))?;
        record.processes.extend(Process::with_pid(child.id()));
        record.write(home, backend.name)?;
        children.push(child);
    }
    Ok(())
}

/// Waits until the server serves, for as long as its processes run.
fn ready(home: &Home, backend: &Backend, children: &mut [Child]) -> Result<String, String> {
    let began = Instant::now();
    loop {
        let reason = match (backend.probe)(home) {
            Ok(version) => return Ok(version),
            Err(reason) => reason,
        };
        for child in &mut *children {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(format!("it ended while it started, with {status}"));
            }
        }
        if began.elapsed() > START {
            return Err(format!(
                "it is not ready after {}: {reason}",
                steps::seconds(START)
            ));
        }
        process::pause(Duration::from_millis(100));
    }
}
