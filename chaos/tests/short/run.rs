//! The program, run, and what it printed.

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// Far longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The program with these arguments, not yet started.
pub(crate) fn chaos(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
    command
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// What it printed and how it ended.
pub(crate) async fn output(arguments: &str) -> Output {
    timeout(PATIENCE, chaos(arguments).output())
        .await
        .expect("the run hangs")
        .unwrap()
}

/// What a run printed that is to end with this code.
pub(crate) async fn printed(arguments: &str, code: i32) -> String {
    let output = output(arguments).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}\n{errors}");
    text
}

/// A row of the table, by its name: calls, failed, retried, handler runs, then the times.
pub(crate) fn row(text: &str, name: &str) -> Vec<String> {
    let rows = text.lines().map(|line| {
        let fields = line.trim_matches('|').split('|');
        fields.map(|field| field.trim().to_owned()).collect::<Vec<_>>()
    });
    let mut found = rows.filter(|row| row[0] == name);
    found
        .next()
        .unwrap_or_else(|| panic!("no row {name:?} in\n{text}"))[1..]
        .to_vec()
}

/// A number of the table.
pub(crate) fn number(field: &str) -> u64 {
    field.replace(',', "").parse().unwrap()
}
