//! What was heard for each watch: which paths to look at again. It is bounded, however late a watch is read.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// How many paths a watch remembers; with more, it looks at everything again.
const MOST_PATHS: usize = 4096;

/// The inboxes of all watches of a session, and what is watched for nobody any more.
#[derive(Debug, Default)]
pub(crate) struct Inboxes {
    table: Mutex<Table>,
    /// Tells that there is something in `left`.
    pub(crate) leaving: Notify,
}

#[derive(Debug, Default)]
struct Table {
    open: Vec<Arc<Inbox>>,
    left: BTreeSet<String>,
}

/// What one watch has heard.
#[derive(Debug)]
pub(crate) struct Inbox {
    path: String,
    heard: Mutex<Heard>,
    news: Notify,
}

/// What there is to look at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The connection was lost, and with it perhaps events.
    Lost,
    /// Everything: too many paths changed.
    All,
    /// These paths.
    Some(HashSet<String>),
    #[default]
    Nothing,
}

impl Inboxes {
    /// Opens an inbox for what happens at a path and below it.
    pub(crate) fn open(&self, path: &str) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox {
            path: path.to_owned(),
            heard: Mutex::default(),
            news: Notify::new(),
        });
        self.table().open.push(inbox.clone());
        inbox
    }

    pub(crate) fn close(&self, inbox: &Arc<Inbox>) {
        let mut table = self.table();
        table.open.retain(|open| !Arc::ptr_eq(open, inbox));
        table.left.insert(inbox.path.clone());
        drop(table);
        self.leaving.notify_one();
    }

    /// Takes the paths that were watched and that nobody watches now.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut table = self.table();
        let left = std::mem::take(&mut table.left);
        let is_watched = |path: &String| table.open.iter().any(|inbox| inbox.path == *path);
        left.into_iter().filter(|path| !is_watched(path)).collect()
    }

    /// Something happened at a path.
    pub(crate) fn hear(&self, path: &str) {
        for inbox in &self.table().open {
            if covers(&inbox.path, path) {
                inbox.hear(path);
            }
        }
    }

    /// The connection was lost, and all watches with it.
    pub(crate) fn lose(&self) {
        let mut table = self.table();
        table.left.clear();
        for inbox in &table.open {
            *inbox.heard() = Heard::Lost;
            inbox.news.notify_one();
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox {
    /// Begins anew: what was heard before is of no interest.
    pub(crate) fn clear(&self) {
        *self.heard() = Heard::Nothing;
    }

    /// Waits until something was heard and takes it.
    pub(crate) async fn take(&self) -> Heard {
        loop {
            let news = self.news.notified();
            let heard = std::mem::take(&mut *self.heard());
            if heard != Heard::Nothing {
                return heard;
            }
            news.await;
        }
    }

    fn hear(&self, path: &str) {
        let mut heard = self.heard();
        match &mut *heard {
            Heard::Lost | Heard::All => return,
            Heard::Some(paths) if paths.len() >= MOST_PATHS => *heard = Heard::All,
            Heard::Some(paths) => {
                paths.insert(path.to_owned());
            }
            Heard::Nothing => *heard = Heard::Some(HashSet::from([path.to_owned()])),
        }
        drop(heard);
        self.news.notify_one();
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a path is the watched one or below it.
fn covers(watched: &str, path: &str) -> bool {
    path.strip_prefix(watched)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_watch_hears_of_what_is_below_its_path() {
        let inboxes = Inboxes::default();
        let (all, one) = (inboxes.open("/r"), inboxes.open("/r/a"));
        inboxes.hear("/r/a/1");
        inboxes.hear("/r/ab/1");
        inboxes.hear("/r/a/1");
        assert_eq!(one.take().await, Heard::Some(["/r/a/1".to_owned()].into()));
        let both = ["/r/a/1".to_owned(), "/r/ab/1".to_owned()];
        assert_eq!(all.take().await, Heard::Some(both.into()));
        inboxes.hear("/r/a");
        inboxes.lose();
        inboxes.hear("/r/a");
        assert_eq!(one.take().await, Heard::Lost);
    }

    #[tokio::test]
    async fn a_watch_that_is_not_read_remembers_so_much_and_no_more() {
        let inboxes = Inboxes::default();
        let inbox = inboxes.open("/r");
        for number in 0..=MOST_PATHS {
            inboxes.hear(&format!("/r/a/{number}"));
        }
        assert_eq!(inbox.take().await, Heard::All);
    }

    #[test]
    fn a_path_is_left_when_its_last_watch_is() {
        let inboxes = Inboxes::default();
        let (first, second) = (inboxes.open("/r"), inboxes.open("/r"));
        inboxes.close(&first);
        assert!(inboxes.left().is_empty());
        inboxes.close(&second);
        assert_eq!(inboxes.left(), ["/r"]);
        assert!(inboxes.left().is_empty());
    }
}
