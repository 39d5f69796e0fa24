//! A source that breaks its contract fails by the name of the case that is about it.

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::time::Duration;

use micro_config::{Document, Error, ErrorKind, Format, Result, Source, async_trait};
use micro_testkit::Report;
use micro_testkit::config::{Place, SourceSubject, SourceTraits, suite};
use micro_testkit::suite::Suite;
use tokio::sync::watch;
use tokio::time::sleep;

/// The ways in which a source may be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    EmptyForMissing,
    MissedBetween,
    ToldWithoutEnd,
    NeverTold,
    ReadOnce,
    RemovalUntold,
    LostWhenDropped,
    ReadingHangs,
    Nameless,
}

/// A text in memory, or nothing.
struct Shelf {
    text: watch::Sender<Option<String>>,
    fault: Fault,
}

struct Broken {
    text: watch::Receiver<Option<String>>,
    fault: Fault,
    first: Option<String>,
}

#[async_trait]
impl Place for Shelf {
    async fn source(&self) -> Result<Box<dyn Source>> {
        Ok(Box::new(Broken {
            text: self.text.subscribe(),
            fault: self.fault,
            first: None,
        }))
    }

    async fn put(&self, text: &str) -> Result<()> {
        self.text.send_replace(Some(text.to_owned()));
        Ok(())
    }

    async fn remove(&self) -> Result<()> {
        self.text.send_replace(None);
        Ok(())
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            Fault::Nameless => Ok(()),
            _ => formatter.write_str("broken"),
        }
    }
}

#[async_trait]
impl Source for Broken {
    async fn read(&mut self) -> Result<Vec<Document>> {
        let mut text = self.text.borrow_and_update().clone();
        match self.fault {
            Fault::EmptyForMissing if text.is_none() => return Ok(Vec::new()),
            Fault::ReadOnce => text = self.first.get_or_insert(text.unwrap_or_default()).clone().into(),
            Fault::ReadingHangs => pending().await,
            _ => {}
        }
        let text = text.ok_or_else(|| Error::new(ErrorKind::Missing, "broken: there is nothing"))?;
        Ok(vec![Document::text("broken", Format::Json, text)])
    }

    async fn changed(&mut self) -> Result<()> {
        match self.fault {
            Fault::ToldWithoutEnd => return Ok(()),
            Fault::NeverTold => pending().await,
            Fault::MissedBetween => self.text.mark_unchanged(),
            _ => {}
        }
        loop {
            if self.text.changed().await.is_err() {
                pending().await
            }
            match self.fault {
                Fault::RemovalUntold if self.text.borrow().is_none() => {}
                Fault::LostWhenDropped => return sleep_and_tell().await,
                _ => return Ok(()),
            }
        }
    }
}

async fn sleep_and_tell() -> Result<()> {
    sleep(Duration::from_millis(5)).await;
    Ok(())
}

async fn run(suite: Suite<SourceSubject>, fault: Fault) -> Report {
    let traits = SourceTraits {
        seen_within: Duration::from_millis(500),
        fails_within: Duration::from_millis(500),
        works_within: Duration::from_secs(10),
        ..SourceTraits::default()
    };
    let make = move || async move {
        let (text, _) = watch::channel(None);
        Ok::<_, Infallible>(Shelf { text, fault })
    };
    suite.run(make, traits).await
}

#[tokio::test]
async fn a_good_source_passes() {
    let report = run(suite(), Fault::None).await;
    assert!(report.is_good(), "{report}");
}

#[tokio::test]
async fn each_fault_fails_the_case_that_is_about_it() {
    for (fault, case) in [
        (Fault::EmptyForMissing, "what_was_never_put_is_missing"),
        (
            Fault::MissedBetween,
            "a_change_between_reading_and_waiting_is_told",
        ),
        (Fault::ToldWithoutEnd, "nothing_is_told_without_end"),
        (Fault::NeverTold, "a_change_is_told"),
        (Fault::ReadOnce, "what_was_put_again_is_read"),
        (Fault::RemovalUntold, "a_removal_is_told"),
        (Fault::LostWhenDropped, "waiting_that_was_dropped_misses_nothing"),
        (Fault::ReadingHangs, "what_was_put_is_read"),
        (Fault::Nameless, "it_says_what_it_is_called"),
    ] {
        let report = run(suite().only(&[case]), fault).await;
        assert!(report.has_failed(case), "{fault:?} passes {case}:\n{report}");
    }
}
