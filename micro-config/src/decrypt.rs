//! Values that are stored encrypted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// How an encrypted value begins.
pub(crate) const MARK: &str = "encrypted:";

/// How long decrypting all that is new in one update may take.
const LONGEST: Duration = Duration::from_secs(10);
/// How many values of one update are decrypted at once.
const AT_ONCE: usize = 8;

/// What was decrypted, or why not, by what it was.
pub(crate) type Answers = HashMap<String, Result<String, String>>;

/// Decrypts values. A text that begins with `encrypted:` in any source is given to it without these words, and the
/// answer takes the text's place. The answer is not looked into any further.
///
/// Answers are kept in memory as long as the text is part of the configuration, so that a service that decrypts is
/// asked once for each. An update is refused while a value in it cannot be decrypted. All that is new in one update may
/// take 10 s together; other sources are followed meanwhile.
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

/// Decrypts texts, some at once and all within one time. Each has an answer.
pub(crate) async fn all(decrypt: Option<Arc<dyn Decrypt>>, texts: Vec<String>) -> Answers {
    let Some(decrypt) = decrypt else {
        let nothing = "nothing that decrypts was given to the configuration";
        let answers = texts.into_iter().map(|text| (text, Err(nothing.to_owned())));
        return answers.collect();
    };
    let deadline = Instant::now() + LONGEST;
    let late = texts
        .iter()
        .map(|text| (text.clone(), Err(format!("no answer within {LONGEST:?}"))));
    let mut answers: Answers = late.collect();
    let mut texts = texts.into_iter();
    let mut asked = HashMap::new();
    // Each on a task of its own, so that one that panics harms no other.
    let mut asking = JoinSet::new();
    loop {
        for text in texts.by_ref().take(AT_ONCE - asking.len()) {
            let (decrypt, sealed) = (Arc::clone(&decrypt), text.clone());
            let task = asking.spawn(async move { decrypt.decrypt(&sealed).await });
            asked.insert(task.id(), text);
        }
        let (id, answer) = match timeout_at(deadline, asking.join_next_with_id()).await {
            Ok(Some(Ok((id, answer)))) => (id, answer),
            Ok(Some(Err(ended))) => (ended.id(), Err("decrypting it panicked".to_owned())),
            Ok(None) | Err(_) => return answers,
        };
        if let Some(text) = asked.remove(&id) {
            answers.insert(text, answer);
        }
    }
}
