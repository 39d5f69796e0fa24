//! Values that are stored encrypted.

use async_trait::async_trait;

/// How an encrypted value begins.
pub(crate) const MARK: &str = "encrypted:";

/// Decrypts values. A text that begins with `encrypted:` in any source is given to it without these words, and the
/// answer takes the text's place. The answer is not looked into any further.
///
/// Answers are kept in memory as long as the text is part of the configuration, so that a service that decrypts is
/// asked once for each. An update is refused while a value in it cannot be decrypted.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> micro_config::Result<()> {
/// use micro_config::{Config, Decrypt, Memory, Secret, async_trait};
///
/// /// Turns letters around. A true one asks a key service, or has a key.
/// struct Backwards;
///
/// #[async_trait]
/// impl Decrypt for Backwards {
///     async fn decrypt(&self, sealed: &str) -> Result<String, String> {
///         match sealed.is_ascii() {
///             true => Ok(sealed.chars().rev().collect()),
///             false => Err("it was not sealed by this".into()),
///         }
///     }
/// }
///
/// let memory = Memory::new();
/// memory.set("database.password", "encrypted:2retnuh");
/// let config = Config::builder().source(memory).decrypt(Backwards).build().await?;
/// let password: Secret = config.get("database.password")?;
/// assert_eq!(password.expose(), "hunter2");
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Decrypt: Send + Sync + 'static {
    /// The clear text.
    ///
    /// # Errors
    ///
    /// A sentence why it cannot be decrypted, which is shown with the path of the value. It must hold neither the clear
    /// text nor a key.
    async fn decrypt(&self, sealed: &str) -> Result<String, String>;
}
