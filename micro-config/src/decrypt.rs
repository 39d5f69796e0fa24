//! Values that are stored encrypted.

use async_trait::async_trait;

/// How an encrypted value begins.
pub(crate) const MARK: &str = "encrypted:";

/// Decrypts values. A text that begins with `encrypted:` in any source is given to it without these words, and the answer
/// takes the text's place. The answer is not looked into any further.
///
/// Answers are kept in memory as long as the text is part of the configuration, so that a service that decrypts is asked
/// once for each. An update is refused while a value in it cannot be decrypted.
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
