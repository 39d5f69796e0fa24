//! Where configuration comes from.

use std::fmt;

use async_trait::async_trait;

use crate::{Document, Result};

/// Where configuration comes from: a file, the environment, a key of a server.
///
/// It reads, and it tells when to read again. All else is done for it: parsing, merging, waiting until a burst of
/// changes is over, trying again with growing pauses while it fails, and keeping what it gave last meanwhile.
///
/// Its [`Display`](fmt::Display) is what people call it in messages: `file config.toml`, `etcd micro/config/greeter`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> micro_config::Result<()> {
/// use std::fmt;
///
/// use micro_config::{Config, Document, Result, Source, async_trait};
/// use serde_json::json;
///
/// /// What the machine is like. It never changes.
/// struct Machine;
///
/// impl fmt::Display for Machine {
///     fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
///         formatter.write_str("machine")
///     }
/// }
///
/// #[async_trait]
/// impl Source for Machine {
///     async fn read(&mut self) -> Result<Vec<Document>> {
///         let system = Document::value("machine", json!({ "name": std::env::consts::OS }));
///         Ok(vec![system.at(["machine", "system"])])
///     }
/// }
///
/// let config = Config::builder().source(Machine).build().await?;
/// assert_eq!(config.get::<String>("machine.system.name")?, std::env::consts::OS);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Source: fmt::Display + Send + 'static {
    /// Reads all of it, as it is now. Of several documents the later wins over the earlier.
    ///
    /// What does not exist is an error of the kind [`Missing`](crate::ErrorKind::Missing) and not an empty answer: only
    /// whoever asks for the source knows whether it may be absent.
    ///
    /// # Errors
    ///
    /// When it does not exist, or cannot be reached or read. The message says what failed and where.
    async fn read(&mut self) -> Result<Vec<Document>>;

    /// Waits until there may be something else than [`read`](Self::read) returned last. No change since that read
    /// *began* may be missed; to return although nothing changed is allowed, and costs one read.
    ///
    /// May be dropped before it returns, and is then called again. A source that never changes keeps this one, which
    /// waits for ever.
    ///
    /// # Errors
    ///
    /// When the connection is lost, or changes may have been missed. It is read again then, after a pause.
    async fn changed(&mut self) -> Result<()> {
        std::future::pending().await
    }
}

#[async_trait]
impl<S: Source + ?Sized> Source for Box<S> {
    async fn read(&mut self) -> Result<Vec<Document>> {
        (**self).read().await
    }

    async fn changed(&mut self) -> Result<()> {
        (**self).changed().await
    }
}
