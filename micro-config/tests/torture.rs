//! Files that are written in every way while they are read.
#![cfg(feature = "file")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use micro_config::{Config, File};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

/// Two fields that are always written together, and text between them.
#[derive(Deserialize)]
struct Pair {
    first: u32,
    second: u32,
}

fn text(number: u32) -> [String; 2] {
    let between = "# something between them\n".repeat(200);
    [
        format!("first = {number}\n{between}"),
        format!("second = {number}\n"),
    ]
}

/// Truncates it, writes a half that is well-formed itself, and then the rest.
async fn write_in_steps(file: &Path, number: u32) {
    let mut open = fs::File::create(file).unwrap();
    for part in text(number) {
        open.write_all(part.as_bytes()).unwrap();
        open.flush().unwrap();
        sleep(Duration::from_millis(u64::from(number % 4) * 3)).await;
    }
}

fn write_by_rename(file: &Path, number: u32) {
    let new = file.with_extension("new");
    fs::write(&new, text(number).concat()).unwrap();
    fs::rename(new, file).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_is_never_mixed_while_the_file_is_written() {
    const WRITES: u32 = 150;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("conf.toml");
    write_by_rename(&file, 0);
    let config = Config::builder()
        .source(File::new(&file))
        .debounce(Duration::from_millis(1))
        // A half-written file is a valid text here, and only this knows that it lacks something.
        .validate(|view| match view.contains("second") {
            true => Ok(()),
            false => Err("the second is missing".into()),
        })
        .build()
        .await
        .unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn(read_until(config.clone(), Arc::clone(&done)));
    for number in 1..=WRITES {
        match number % 3 {
            0 => write_by_rename(&file, number),
            _ => write_in_steps(&file, number).await,
        }
        if number % 7 == 0 {
            let _ = fs::remove_file(&file);
        }
        if number % 10 == 0 {
            sleep(Duration::from_millis(120)).await;
        }
    }
    write_by_rename(&file, WRITES);
    let until = Instant::now() + Duration::from_secs(20);
    while config.get::<u32>("first").unwrap() != WRITES {
        assert!(
            Instant::now() < until,
            "the last is not seen: {:?}",
            config.sources()
        );
        sleep(Duration::from_millis(10)).await;
    }
    done.store(true, Ordering::Relaxed);
    let seen = reader.await.unwrap();
    assert!(seen > 3, "only {seen} states were seen");
    config.close().await;
}

/// Reads all the time, in one view each, and counts the states.
async fn read_until(config: Config, done: Arc<AtomicBool>) -> u32 {
    let live = config.live::<Pair>("").unwrap();
    let mut seen = 0;
    let mut last = 0;
    while !done.load(Ordering::Relaxed) {
        for _ in 0..100 {
            let pair = config.scan::<Pair>().unwrap();
            assert_eq!(pair.first, pair.second);
            let view = config.view();
            let (first, second) = (view.get::<u32>("first"), view.get::<u32>("second"));
            assert_eq!(first.unwrap(), second.unwrap());
            let pair = live.get();
            assert_eq!(pair.first, pair.second);
            seen += u32::from(pair.first != last);
            last = pair.first;
        }
        sleep(Duration::from_millis(1)).await;
    }
    seen
}
