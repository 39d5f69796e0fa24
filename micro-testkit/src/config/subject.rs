//! The place that a case reads, and what cases ask of it.

use std::sync::Arc;
use std::time::Duration;

use micro_config::{Config, Document, Error, ErrorKind, Source};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep};

use super::{Place, SourceTraits};
use crate::proxy::Proxy;
use crate::suite::{Boxed, Ending, Failure, Outcome, Subject, ensure_eq, outage, soon};

/// How often a source may be found busy before it is asked again.
const AGAIN: Duration = Duration::from_millis(50);

/// The place that a case reads.
#[derive(Clone)]
pub struct SourceSubject {
    place: Arc<dyn Place>,
    traits: Arc<SourceTraits>,
}

impl Subject for SourceSubject {
    fn clean(self) -> Boxed<()> {
        Box::pin(async move { self.place.clean().await })
    }
}

impl From<Error> for Ending {
    #[track_caller]
    fn from(error: Error) -> Self {
        Self::Failed(Failure::new(format!("unexpected error: {error}")))
    }
}

impl SourceSubject {
    pub(super) fn new(place: impl Place, traits: SourceTraits) -> Self {
        Self {
            place: Arc::new(place),
            traits: Arc::new(traits),
        }
    }

    pub(super) fn traits(&self) -> &SourceTraits {
        &self.traits
    }

    pub(super) async fn source(&self) -> Result<Box<dyn Source>, Ending> {
        let made = self.place.source().await;
        made.map_err(|error| Ending::failed(format!("the place made no source: {error}")))
    }

    pub(super) async fn put(&self, text: &str) -> Outcome {
        let put = self.place.put(text).await;
        put.map_err(|error| Ending::failed(format!("the place cannot be written: {error}")))
    }

    /// Writes `{"number": …}`, in which the texts of all numbers are equally long.
    pub(super) async fn put_number(&self, number: u32) -> Outcome {
        self.put(&number_text(number)).await
    }

    pub(super) async fn remove(&self) -> Outcome {
        let removed = self.place.remove().await;
        removed.map_err(|error| Ending::failed(format!("the place cannot be removed: {error}")))
    }

    /// Ends the case as skipped where there is no server.
    pub(super) fn needs_server(&self) -> Outcome {
        self.needed_proxy().map(drop)
    }

    pub(super) async fn proxy(&self) -> Result<MutexGuard<'_, Proxy>, Ending> {
        Ok(self.needed_proxy()?.lock().await)
    }

    /// What is before the server. Ends the case as skipped where there is none.
    pub(super) fn needed_proxy(&self) -> Result<&Mutex<Proxy>, Ending> {
        self.place.proxy().ok_or(Ending::Skipped("it has no server"))
    }

    pub(super) async fn mend(&self) -> Outcome {
        outage::mend(self.needed_proxy()?).await
    }

    /// A configuration of this source alone, that waits for nothing longer than it must.
    pub(super) async fn config(&self) -> Result<Config, Ending> {
        let source = self.source().await?;
        let built = Config::builder()
            .source(source)
            .debounce(Duration::from_millis(20))
            .build();
        Ok(built.await?)
    }

    /// Waits until the configuration says a number.
    pub(super) async fn says(&self, config: &Config, number: u32, within: Duration) -> Outcome {
        let until = Instant::now() + within;
        loop {
            let said = config.get::<u32>("number");
            if said.as_ref().is_ok_and(|said| *said == number) {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(Ending::failed(format!(
                    "the configuration does not say {number} within {within:?} but {said:?}; its source is {:?}",
                    config.sources()
                )));
            }
            sleep(AGAIN).await;
        }
    }

    /// Reads until it works, as a server may say an older state for a moment.
    pub(super) async fn reads(&self, source: &mut dyn Source, wanted: &Value) -> Outcome {
        let until = Instant::now() + self.traits.seen_within;
        loop {
            let found = match self.read(source).await? {
                Ok(documents) => whole(documents).await?,
                Err(error) => json!({ "error": error.to_string() }),
            };
            if found == *wanted || Instant::now() >= until {
                ensure_eq!(found, *wanted, "what {source} reads");
                return Ok(());
            }
            sleep(AGAIN).await;
        }
    }

    pub(super) async fn reads_number(&self, source: &mut dyn Source, number: u32) -> Outcome {
        self.reads(source, &json!({ "number": number })).await
    }

    /// Reads until there is nothing.
    pub(super) async fn reads_nothing(&self, source: &mut dyn Source) -> Outcome {
        let until = Instant::now() + self.traits.seen_within;
        loop {
            let found = match self.read(source).await? {
                Ok(documents) => format!("{} documents", documents.len()),
                Err(error) if error.kind() == ErrorKind::Missing => return Ok(()),
                Err(error) => format!("an error of the kind {:?}: {error}", error.kind()),
            };
            if Instant::now() >= until {
                return Err(Ending::failed(format!(
                    "{source} is to be missing, and there is {found}"
                )));
            }
            sleep(AGAIN).await;
        }
    }

    pub(super) async fn read(
        &self,
        source: &mut dyn Source,
    ) -> Result<micro_config::Result<Vec<Document>>, Ending> {
        soon(self.traits.fails_within, "reading", source.read()).await
    }

    /// Waits until something is told, be it that changes may have been missed.
    pub(super) async fn told(&self, source: &mut dyn Source, what: &str) -> Outcome {
        let what = format!("{source} telling of {what}");
        let _ = soon(self.traits.seen_within, &what, source.changed()).await?;
        Ok(())
    }

    /// Waits until something is told and a number is read, as a source may tell of what is no change.
    pub(super) async fn tells_number(&self, source: &mut dyn Source, number: u32) -> Outcome {
        let name = source.to_string();
        let told = async {
            loop {
                if source.changed().await.is_err() {
                    sleep(AGAIN).await;
                }
                if let Ok(documents) = source.read().await
                    && whole(documents).await? == json!({ "number": number })
                {
                    return Ok(());
                }
            }
        };
        let what = format!("{name} telling of {number}");
        soon(self.traits.seen_within, &what, told).await?
    }
}

/// What documents say together.
async fn whole(documents: Vec<Document>) -> Result<Value, Ending> {
    let config = Config::builder().source(Read(documents)).build().await?;
    Ok(config.view().value("").unwrap_or(Value::Null))
}

/// A source that was read before.
struct Read(Vec<Document>);

impl std::fmt::Display for Read {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("what was read")
    }
}

#[micro_config::async_trait]
impl Source for Read {
    async fn read(&mut self) -> micro_config::Result<Vec<Document>> {
        Ok(self.0.clone())
    }
}

pub(super) fn number_text(number: u32) -> String {
    format!("{{\n  \"number\": {number:>10}\n}}\n")
}
