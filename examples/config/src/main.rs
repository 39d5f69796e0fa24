//! Prints what a configuration says, and then each change as you edit its file.
//!
//! Variables that begin with `APP_` win over the file: `APP_SERVER_PORT=9090`. What is refused is told on standard
//! error.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::process::ExitCode;

use micro_config::{Config, Env, File, Result, View};
use serde_json::Value;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .init();
    let Some(file) = std::env::args().nth(1) else {
        eprintln!("usage: config-example <file.toml, file.yaml, file.json, or a directory>");
        return ExitCode::FAILURE;
    };
    match follow(&file).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn follow(file: &str) -> Result<()> {
    let config = Config::builder()
        .source(File::new(file))
        .source(Env::stripped("APP"))
        .validate(|view| match view.get_or("server.port", 8080_u16) {
            Ok(port) if port >= 1024 => Ok(()),
            Ok(port) => Err(format!("server.port is {port}, and must be 1024 or more")),
            Err(error) => Err(error.to_string()),
        })
        .build()
        .await?;
    let mut changes = config.watch::<Value>("");
    let mut known = values(&config.view());
    for (path, (value, place)) in &known {
        println!("{path} = {value}  ({place})");
    }
    loop {
        tokio::select! {
            change = changes.next() => {
                let Some(change) = change else { break };
                change?;
                let now = values(&config.view());
                print_differences(&known, &now);
                known = now;
            }
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    config.close().await;
    Ok(())
}

/// A value, and where it is from.
type Said = (Value, String);

fn values(view: &View) -> BTreeMap<String, Said> {
    let said = view.paths().into_iter().filter_map(|path| {
        let value = view.value(&path)?;
        let origin = view.origin_of(&path)?;
        let line = origin
            .line
            .map(|line| format!(" line {line}"))
            .unwrap_or_default();
        Some((path, (value, format!("{}{line}", origin.document))))
    });
    said.collect()
}

fn print_differences(before: &BTreeMap<String, Said>, now: &BTreeMap<String, Said>) {
    for (path, (value, place)) in now {
        if before.get(path).is_none_or(|(before, _)| before != value) {
            println!("{path} is now {value}  ({place})");
        }
    }
    for path in before.keys().filter(|path| !now.contains_key(*path)) {
        println!("{path} is gone");
    }
}
