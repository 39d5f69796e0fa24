//! Files that are written all the time, and very many of them.
#![cfg(feature = "file")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use micro_config::{Config, Document, ErrorKind, File, Source, SourceState};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

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

/// Writes lines to a file, every few milliseconds. How long the longest pause was.
async fn write_line_by_line(file: PathBuf, time: Duration) -> Duration {
    let mut open = fs::File::create(file).unwrap();
    let began = Instant::now();
    let (mut last, mut longest) = (began, Duration::ZERO);
    for number in 0.. {
        writeln!(open, "line{number} = 1").unwrap();
        longest = longest.max(last.elapsed());
        last = Instant::now();
        if began.elapsed() > time {
            writeln!(open, "end = 1").unwrap();
            break;
        }
        sleep(Duration::from_millis(2)).await;
    }
    longest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_written_for_long_is_not_read_before_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("conf.toml");
    // A writer that the system stopped for so long has left the file alone.
    for _ in 0..20 {
        let writer = tokio::spawn(write_line_by_line(file.clone(), Duration::from_millis(1800)));
        while !file.exists() {
            sleep(Duration::from_millis(1)).await;
        }
        let read = timeout(SOON, File::new(&file).read()).await.unwrap();
        if writer.await.unwrap() < Duration::from_millis(40) {
            let end = Document::text(
                file.display().to_string(),
                micro_config::Format::Toml,
                fs::read_to_string(&file).unwrap(),
            );
            assert!(read.unwrap() == [end], "it was read before its end");
            return;
        }
        fs::remove_file(&file).unwrap();
    }
    panic!("the machine never let a task write without pauses");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_becomes_empty_is_only_begun() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("conf.toml");
    fs::write(&file, "").unwrap();
    let config = Config::builder().source(File::new(&file)).build().await.unwrap();
    assert!(
        !config.view().contains("a"),
        "one that is empty from the beginning is fine"
    );
    let until = async |is_so: &dyn Fn() -> bool| {
        let look = async {
            while !is_so() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, look).await.unwrap();
    };
    fs::write(&file, "a = 1\n").unwrap();
    until(&|| config.view().contains("a")).await;
    fs::write(&file, "").unwrap();
    let is_failing = || matches!(config.sources()[0].state, SourceState::Failing { .. });
    until(&is_failing).await;
    let told = config.sources()[0].state.error().unwrap().to_string();
    assert!(told.contains("it has become empty"), "{told}");
    assert_eq!(config.get::<u8>("a").unwrap(), 1);
    fs::write(&file, "a = 2\n").unwrap();
    until(&|| config.get::<u8>("a").is_ok_and(|a| a == 2)).await;
    fs::write(&file, "# nothing\n").unwrap();
    until(&|| !config.view().contains("a")).await;
    config.close().await;
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
