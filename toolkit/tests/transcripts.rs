//! The binary as people use it: what they type and what they see, against services on this machine's loopback.
//!
//! A transcript is a Markdown file. In its `console` blocks a line after `$ ` is given to `sh`, lines after `> ` go
//! on with it, and the rest is what must be printed. `[..]` stands for anything in a line; ports, times and sizes may
//! be others. `MICRO_BLESS=1` writes down what was printed instead.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "transcripts/compare.rs"]
mod compare;
#[path = "transcripts/services.rs"]
mod services;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::services::World;

const MICRO: &str = env!("CARGO_BIN_EXE_micro");

/// Runs a command line in a world, and gives what it printed.
fn run(line: &str, world: &World) -> String {
    let folder = Path::new(MICRO).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MICRO_")) {
        command.env_remove(name);
    }
    let output = command
        .args(["-c", &format!("exec 2>&1\n{line}")])
        .env("PATH", path)
        .env("MICRO_REGISTRY_ADDRESS", world.registry_address())
        .env("MICRO_SERVER_ADDRESS", "127.0.0.1:0")
        // Files that the transcripts speak of.
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts/folder"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let mut printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        !printed.contains('\u{1b}'),
        "colours without a terminal: {printed:?}"
    );
    if let Some(code @ 1..) = output.status.code() {
        printed += &format!("[exit code {code}]\n");
    }
    printed
}

fn check(path: &str) {
    let world = World::start();
    compare::check(Path::new(env!("CARGO_MANIFEST_DIR")).join(path), |line| {
        run(line, &world)
    });
}

#[test]
fn the_readme_shows_what_happens() {
    check("README.md");
}

#[test]
fn verbs_that_look() {
    check("tests/transcripts/look.md");
}

#[test]
fn verbs_that_call() {
    check("tests/transcripts/call.md");
}

#[test]
fn failures_say_what_to_try() {
    check("tests/transcripts/failures.md");
}

#[test]
fn the_shell_obeys_lines_from_a_pipe() {
    check("tests/transcripts/shell.md");
}

#[test]
fn configuration_is_shown_without_its_secrets() {
    check("tests/transcripts/config.md");
}

#[test]
fn every_verb_has_its_help() {
    check("tests/transcripts/help.md");
}

#[test]
fn a_registered_record_stays_until_ctrl_c() {
    const RECORD: &str = r#"{"name":"legacy","version":"1","nodes":[{"id":"legacy-1","address":"127.0.0.1:1","metadata":{"protocol":"mucp"}}]}"#;
    let world = World::start();
    for signal in ["-INT", "-TERM"] {
        let mut register = Command::new(MICRO)
            .args(["register", "service", RECORD])
            .env("MICRO_REGISTRY_ADDRESS", world.registry_address())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(register.stdout.take().unwrap()).lines();
        assert!(lines.next().unwrap().unwrap().starts_with("registered legacy"));
        assert!(lines.next().unwrap().unwrap().contains("Ctrl-C takes it out"));
        assert!(run("micro list services", &world).contains("legacy\n"));
        let elsewhere = run(&format!("micro deregister service '{RECORD}'"), &world);
        assert!(
            elsewhere.contains("end the process that registered it"),
            "{elsewhere}"
        );
        let id = register.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
        assert!(lines.next().unwrap().unwrap().starts_with("deregistered legacy"));
        assert!(register.wait().unwrap().success());
        assert!(run("micro get service legacy", &world).contains("[exit code 3]"));
    }
}

#[test]
fn stats_are_shown_again_and_again() {
    let world = World::start();
    let mut stats = Command::new(MICRO)
        .args(["stats", "greeter", "--watch=0.1"])
        .env("MICRO_REGISTRY_ADDRESS", world.registry_address())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(stats.stdout.take().unwrap()).lines();
    let heads = lines.filter(|line| line.as_ref().unwrap().starts_with("NODE"));
    assert_eq!(heads.take(3).count(), 3);
    stats.kill().unwrap();
    stats.wait().unwrap();
}

#[test]
fn events_are_printed_as_they_come() {
    let world = World::start();
    let mut subscribe = Command::new(MICRO)
        .args(["subscribe", "orders", "--output=raw", "--header"])
        .env("MICRO_REGISTRY_ADDRESS", world.registry_address())
        .env("MICRO_SERVER_ADDRESS", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(subscribe.stderr.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "subscribed to orders");
    let mut lines = BufReader::new(subscribe.stdout.take().unwrap()).lines();
    let mut until = |wanted: &str| -> Vec<String> {
        let mut seen = Vec::new();
        for line in lines.by_ref() {
            let line = line.unwrap();
            if line == wanted {
                return seen;
            }
            seen.push(line);
        }
        panic!("{wanted} is not among {seen:?}");
    };
    for order in 1..=3 {
        let event = format!("{{\"order\":{order}}}");
        let printed = run(&format!("micro publish orders '{event}' -m Tenant=acme"), &world);
        assert_eq!(printed, "");
        assert!(until(&event).contains(&"Tenant: acme".to_owned()));
    }
    let id = subscribe.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    assert!(subscribe.wait().unwrap().success());
    let listed = run("micro list services", &world);
    assert!(
        !listed.contains("broker"),
        "the subscription is still registered: {listed}"
    );
}

#[test]
fn changes_of_the_configuration_are_printed_as_they_come() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("shop.toml");
    let write = |size: &str| {
        let text = format!("[pool]\nsize = {size}\npassword = 'x{size}'\n");
        let other = folder.path().join("other");
        std::fs::write(&other, text).unwrap();
        std::fs::rename(other, &file).unwrap();
    };
    write("1");
    let mut watch = Command::new(MICRO)
        .args(["config", "watch", "pool", "--output=raw", "--count=2"])
        .env("MICRO_CONFIG", "shop.toml")
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || lines.next().map(Result::unwrap);
    assert_eq!(next().unwrap(), r#"{"password":"***","size":1}"#);
    let mut said = BufReader::new(watch.stderr.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "watching pool");
    write("2");
    assert_eq!(next().unwrap(), r#"{"password":"***","size":2}"#);
    write("hush");
    let refused = said.next().unwrap().unwrap();
    assert!(
        refused.contains("what it said last counts: it is not valid TOML"),
        "{refused}"
    );
    assert!(
        refused.ends_with("(shop.toml line 2)") && !refused.contains("hush"),
        "{refused}"
    );
    write("3");
    assert_eq!(next().unwrap(), r#"{"password":"***","size":3}"#);
    assert_eq!(next(), None);
    assert!(watch.wait().unwrap().success());
}

#[test]
fn output_that_nobody_reads_ends_quietly() {
    let world = World::start();
    let line = "(micro stream counter Counter.Count '{\"to\":100000}'; echo \"code $?\" >&2) | head -n 1";
    assert_eq!(run(line, &world), "{\ncode 0\n");
}
