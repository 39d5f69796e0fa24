//! What reading costs: nanoseconds per read, by how it is read. The best of many short runs, so that what else the machine
//! does counts little.
//!
//! `cargo bench -p micro-config --bench reading`

use std::hint::black_box;
use std::time::Instant;

use micro_config::{Config, Memory, Result};
use serde::Deserialize;
use serde_json::json;

const ROUNDS: u32 = 20_000;
const RUNS: u32 = 500;

#[derive(Deserialize)]
struct Pool {
    size: u32,
    host: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let names = (0..200).map(|number| (format!("name-{number}"), json!({ "value": number })));
    let mut values = serde_json::Map::from_iter(names);
    values.insert("database".into(), json!({ "pool": { "size": 4, "host": "db" } }));
    let memory = Memory::from(serde_json::Value::Object(values));
    let config = Config::builder().source(memory).build().await?;

    let number = config.live::<u32>("database.pool.size")?;
    row("a live number", || *number.get());
    let pool = config.live::<Pool>("database.pool")?;
    row("a field of a live table", || pool.get().size);
    row("the length of a live text", || pool.get().host.len());
    row("a live number, to be kept", || number.get_full());
    row("the view", || config.view());
    let view = config.view();
    row("a number of a view, read anew", || {
        view.get::<u32>("database.pool.size")
    });
    row("a table of a view, read anew", || {
        view.get::<Pool>("database.pool").map(|pool| pool.size)
    });
    Ok(())
}

fn row<T>(title: &str, mut read: impl FnMut() -> T) {
    let runs = (0..RUNS).map(|_| {
        let began = Instant::now();
        for _ in 0..ROUNDS {
            black_box(read());
        }
        began.elapsed()
    });
    let best = runs.min().unwrap_or_default();
    let nanos = best.as_nanos() as f64 / f64::from(ROUNDS);
    println!("{title:<34}{nanos:>8.1} ns");
}
