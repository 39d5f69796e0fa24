//! Being told by the system that files changed.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use crate::shared::unpoisoned;

/// How many symbolic links may lead to a file, as the system's own limit.
const MOST_LINKS: usize = 40;

/// Being told by the system that files changed: it watches the directories that they and the links to them are in,
/// because a file that is replaced is another file.
#[derive(Default)]
pub(super) struct Following {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    told: Arc<Told>,
}

#[derive(Default)]
struct Told {
    wake: Notify,
    names: Mutex<Names>,
}

/// Which entries of the directories matter.
#[derive(Default)]
struct Names {
    all: bool,
    names: BTreeSet<OsString>,
}

impl Following {
    /// Watches what leads to a path now. Where the system cannot, nothing is told.
    pub(super) async fn follow(&mut self, path: &Path) {
        let path = path.to_owned();
        let told = Arc::clone(&self.told);
        let watcher = self.watcher.take();
        let watched = std::mem::take(&mut self.watched);
        let following = spawn_blocking(move || watch(watcher, &watched, &path, &told)).await;
        if let Ok((watcher, watched)) = following {
            self.watcher = watcher;
            self.watched = watched;
        }
    }

    /// Waits until something changed since this was waited for last.
    pub(super) async fn told(&self) {
        self.told.wake.notified().await;
    }
}

fn watch(
    watcher: Option<RecommendedWatcher>,
    watched: &BTreeSet<PathBuf>,
    path: &Path,
    told: &Arc<Told>,
) -> (Option<RecommendedWatcher>, BTreeSet<PathBuf>) {
    let (mut directories, names) = way(path);
    if path.is_dir() {
        directories.insert(path.to_owned());
    }
    *unpoisoned(&told.names) = Names {
        all: path.is_dir(),
        names,
    };
    let watcher = watcher.map_or_else(|| new_watcher(told), Ok);
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "the system tells of no changes; looking now and then");
            return (None, BTreeSet::new());
        }
    };
    // All are watched anew: a directory of the same name may be another one.
    for directory in watched {
        let _ = watcher.unwatch(directory);
    }
    for directory in &directories {
        if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
            tracing::debug!(
                directory = %directory.display(),
                %error,
                "the system tells of no changes here; looking now and then"
            );
        }
    }
    (Some(watcher), directories)
}

fn new_watcher(told: &Arc<Told>) -> notify::Result<RecommendedWatcher> {
    let told = Arc::clone(told);
    notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.as_ref().map_or(true, |event| told.matters(event)) {
            told.wake.notify_one();
        }
    })
}

impl Told {
    fn matters(&self, event: &Event) -> bool {
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => {}
            // Reading it oneself is an access too.
            EventKind::Access(_) => return false,
            _ => {}
        }
        let names = unpoisoned(&self.names);
        let mut paths = event.paths.iter();
        names.all
            || event.paths.is_empty()
            || paths.any(|path| path.file_name().is_some_and(|name| names.names.contains(name)))
    }
}

/// The directories that a path and the symbolic links on its way are in, and their names there.
fn way(path: &Path) -> (BTreeSet<PathBuf>, BTreeSet<OsString>) {
    let mut directories = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mut open = vec![path.to_owned()];
    let mut links = 0;
    while let Some(path) = open.pop() {
        let mut walked = PathBuf::new();
        let count = path.components().count();
        for (index, part) in path.components().enumerate() {
            let directory = match walked.as_os_str().is_empty() {
                true => PathBuf::from("."),
                false => walked.clone(),
            };
            walked.push(part);
            let target = fs::read_link(&walked);
            if target.is_err() && index + 1 < count {
                continue;
            }
            if let (true, Some(name)) = (directory.is_dir(), walked.file_name()) {
                directories.insert(directory.clone());
                names.insert(name.to_owned());
            }
            if let Ok(target) = target
                && links < MOST_LINKS
            {
                links += 1;
                open.push(directory.join(target));
            }
        }
    }
    (directories, names)
}
