//! The example `greeter` as a process: what it prints, and how it ends.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;
use std::process::{Command, Output};

fn greeter(words: &[&str], environment: &[(&str, &str)]) -> Output {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(|deps| deps.parent()).unwrap();
    let path: PathBuf = folder
        .join("examples")
        .join(format!("greeter{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "build the example first: cargo build -p micro --examples"
    );
    let variables = std::env::vars().filter(|(name, _)| name.starts_with("MICRO_"));
    let mut command = Command::new(path);
    for (variable, _) in variables {
        command.env_remove(variable);
    }
    command
        .args(words)
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(!text.contains('\u{1b}'), "no colours into a pipe: {text:?}");
    text
}

#[test]
fn help_and_version_go_to_standard_output_and_end_with_0() {
    let output = greeter(&["--help"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let help = text(&output.stdout);
    assert!(help.starts_with("Greets by name\n\nUsage: greeter"), "{help}");
    assert!(help.contains("--server_address <ADDRESS>") && help.contains("[env=MICRO_SERVER_ADDRESS]"));
    assert!(output.stderr.is_empty());
    let output = greeter(&["--version"], &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).starts_with(concat!("greeter ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn what_cannot_be_understood_ends_with_2() {
    let output = greeter(&["--registry=pigeon"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let said = text(&output.stderr);
    assert!(
        said.starts_with("error: --registry: no registry is called \"pigeon\""),
        "{said}"
    );
    let output = greeter(&[], &[("MICRO_CLIENT_RETRIES", "few")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("the variable MICRO_CLIENT_RETRIES: \"few\""));
}

#[test]
fn a_service_calls_itself_as_flags_and_variables_say() {
    let words = [
        "--registry=memory",
        "--server_address=127.0.0.1:0",
        "--greeting",
        "Hi",
        "Alice",
    ];
    let output = greeter(
        &words,
        &[("MICRO_SERVER_NAME", "other"), ("MICRO_CLIENT", "grpc")],
    );
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(text(&output.stdout), "Hi Alice\n");
    let log = text(&output.stderr);
    if cfg!(feature = "log") {
        assert!(log.contains("service=other"), "{log}");
        let told = match cfg!(feature = "grpc") {
            true => "transport=\"grpc\"",
            false => "MICRO_CLIENT: grpc is ignored",
        };
        assert!(log.contains(told), "{log}");
        let output = greeter(&words, &[("MICRO_LOG_LEVEL", "off")]);
        assert_eq!(text(&output.stderr), "");
    } else {
        assert_eq!(log, "");
    }
}
