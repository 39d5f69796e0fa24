//! The example prints each change of the file as it is edited.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

/// The example as it runs; it is ended with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    lines.next().unwrap().unwrap()
}

#[test]
fn it_prints_each_change_and_keeps_the_last_good() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("conf.toml");
    fs::write(&file, "greeting = \"Hello\"\n\n[server]\nport = 8080\n").unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_config-example"))
        .arg("conf.toml")
        .current_dir(directory.path())
        .env("APP_NAME", "from a variable")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    assert_eq!(next(&mut lines), "greeting = \"Hello\"  (conf.toml line 1)");
    assert_eq!(
        next(&mut lines),
        "name = \"from a variable\"  (variable APP_NAME)"
    );
    assert_eq!(next(&mut lines), "server.port = 8080  (conf.toml line 4)");

    fs::write(&file, "greeting = \"Hello\"\n\n[server]\nport = 9090\n").unwrap();
    assert_eq!(next(&mut lines), "server.port is now 9090  (conf.toml line 4)");

    // Neither a flaw nor what the validation refuses is printed as a change.
    for refused in ["greeting = ", "[server]\nport = 80\n"] {
        fs::write(&file, refused).unwrap();
        std::thread::yield_now();
    }
    fs::write(&file, "greeting = \"Hi\"\n\n[server]\n").unwrap();
    assert_eq!(next(&mut lines), "greeting is now \"Hi\"  (conf.toml line 1)");
    assert_eq!(next(&mut lines), "server is now {}  (conf.toml line 3)");
    assert_eq!(next(&mut lines), "server.port is gone");
}
