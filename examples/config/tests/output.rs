//! The example prints each change of the file as it is edited.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{BufRead, BufReader, Lines, Read};
use std::process::{Child, Command, Stdio};

/// The example as it runs; it is ended with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn next<R: Read>(lines: &mut Lines<BufReader<R>>) -> String {
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
        .env_clear()
        .env("APP_NAME", "from a variable")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let mut warnings = BufReader::new(running.0.stderr.take().unwrap()).lines();
    assert_eq!(next(&mut lines), "greeting = \"Hello\"  (conf.toml line 1)");
    assert_eq!(
        next(&mut lines),
        "name = \"from a variable\"  (variable APP_NAME)"
    );
    assert_eq!(next(&mut lines), "server.port = 8080  (conf.toml line 4)");

    fs::write(&file, "greeting = \"Hello\"\n\n[server]\nport = 9090\n").unwrap();
    assert_eq!(next(&mut lines), "server.port is now 9090  (conf.toml line 4)");

    // Neither a flaw nor what the validation refuses is printed as a change.
    for (refused, why) in [
        ("greeting =\n", "is not valid TOML"),
        ("[server]\nport = 80\n", "must be 1024 or more"),
    ] {
        fs::write(&file, refused).unwrap();
        let warning = next(&mut warnings);
        assert!(warning.contains(why), "{warning}");
    }
    fs::write(&file, "greeting = \"Hi\"\n\n[server]\n").unwrap();
    assert_eq!(next(&mut lines), "greeting is now \"Hi\"  (conf.toml line 1)");
    assert_eq!(next(&mut lines), "server is now {}  (conf.toml line 3)");
    assert_eq!(next(&mut lines), "server.port is gone");
}
