//! The programs print what they did and end well.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A name of this run's own, so that runs beside each other do not meet.
fn name() -> String {
    format!("hellooo-{}", std::process::id())
}

#[test]
fn one_process_finds_and_calls_itself() {
    let run = Command::new(env!("CARGO_BIN_EXE_hello"))
        .output()
        .expect("the example starts");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(String::from_utf8_lossy(&run.stdout), "Hello World ^_^\n");
}

/// Killed when the test ends, however it ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn two_processes_find_and_call_each_other() {
    let mut server = Command::new(env!("CARGO_BIN_EXE_server"))
        .args([
            "--registry_address=lo",
            "--server_address=127.0.0.1:0",
            "--server_name",
            &name(),
        ])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let log = BufReader::new(server.stderr.take().expect("it is piped"));
    let server = Server(server);
    let is_registered = log
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("registering node"));
    assert!(is_registered);
    let run = Command::new(env!("CARGO_BIN_EXE_client"))
        .args(["--registry_address=lo", "--service", &name(), "Alice"])
        .output()
        .expect("the client starts");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(String::from_utf8_lossy(&run.stdout), "Hello Alice ^_^\n");
    drop(server);
}
