//! Files that are written all the time, and very many of them.
#![cfg(feature = "file")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use micro_config::{ErrorKind, File, Source};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

const SOON: Duration = Duration::from_secs(20);

fn replace(file: &Path, number: u32) {
    let new = file.with_extension("new");
    fs::write(&new, format!("{{\"number\": {number}}}")).unwrap();
    fs::rename(new, file).unwrap();
}

/// Replaces a file every 20 ms.
fn keep_replacing(file: &Path) -> JoinSet<()> {
    let file = file.to_owned();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut times = interval(Duration::from_millis(20));
        for number in 1.. {
            times.tick().await;
            replace(&file, number);
        }
    });
    tasks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_replaced_all_the_time_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("conf.json");
    replace(&file, 0);
    let _writing = keep_replacing(&file);
    let documents = timeout(SOON, File::new(&file).read()).await.unwrap();
    assert_eq!(documents.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_file_does_not_keep_a_directory_from_being_read() {
    let directory = tempfile::tempdir().unwrap();
    let busy = directory.path().join("busy.json");
    replace(&busy, 0);
    fs::write(directory.path().join("quiet.json"), "{}").unwrap();
    let _writing = keep_replacing(&busy);
    let documents = timeout(SOON, File::new(directory.path()).read()).await.unwrap();
    assert_eq!(documents.unwrap().len(), 2);
}

#[tokio::test]
async fn the_files_of_a_directory_may_not_be_too_large_together() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c", "d"] {
        let file = directory.path().join(name).with_extension("json");
        fs::write(file, format!("\"{}\"", "x".repeat(90))).unwrap();
    }
    let mut source = File::new(directory.path()).largest(100);
    assert_eq!(source.read().await.unwrap().len(), 4);
    fs::write(directory.path().join("e.json"), "\"x\"".repeat(20)).unwrap();
    let error = source.read().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("more than 400 bytes"), "{error}");
}
