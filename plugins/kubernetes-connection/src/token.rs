//! Tokens that say who is calling.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use micro_core::Result;
use micro_core::backend::Role;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::error::KUBERNETES;

/// How long what was read of a file is believed. Kubernetes changes the file of a pod's token long before the old
/// token lapses.
const BELIEVED: Duration = Duration::from_secs(30);

/// How many bytes a token's file may have.
const LARGEST: u64 = 64 * 1024;

/// Who is calling: a bearer token.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Token {
    /// None: a client's certificate says it, or nobody asks.
    #[default]
    None,
    /// The token itself.
    Text(String),
    /// A file that holds it, which is read again from time to time, because tokens of pods live for an hour.
    File(PathBuf),
}

impl fmt::Debug for Token {
    // The token is left out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("None"),
            Self::Text(_) => formatter.write_str("Text"),
            Self::File(path) => formatter.debug_tuple("File").field(path).finish(),
        }
    }
}

/// The header of requests.
pub(crate) struct Credentials {
    token: Token,
    role: Role,
    read: Mutex<Option<(Instant, HeaderValue)>>,
    /// One, for who reads the file.
    reading: Arc<Semaphore>,
}

impl Credentials {
    pub(crate) fn new(token: Token, role: Role) -> Self {
        Self {
            token,
            role,
            read: Mutex::default(),
            reading: Arc::new(Semaphore::new(1)),
        }
    }

    /// Looks at the token once, before there are requests. It reads the file on the caller's thread.
    ///
    /// # Errors
    ///
    /// As [`header`](Self::header).
    pub(crate) fn check(&self) -> Result<()> {
        match &self.token {
            Token::None => {}
            Token::Text(token) => drop(bearer(token, self.role)?),
            Token::File(path) => drop(self.believe(&read(path, self.role)?)?),
        }
        Ok(())
    }

    /// What requests say; None where they say nothing. May be cancelled.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or what it holds is no token.
    pub(crate) async fn header(&self) -> Result<Option<HeaderValue>> {
        let path = match &self.token {
            Token::None => return Ok(None),
            Token::Text(token) => return bearer(token, self.role).map(Some),
            Token::File(path) => path,
        };
        if let Some((when, header)) = &*self.lock()
            && when.elapsed() < BELIEVED
        {
            return Ok(Some(header.clone()));
        }
        // A volume that hangs takes one thread, however many requests there are, and none that has other work.
        let permit = Arc::clone(&self.reading).acquire_owned().await;
        let (path, role) = (path.clone(), self.role);
        let reading = spawn_blocking(move || {
            let _permit = permit;
            read(&path, role)
        });
        let text = reading.await;
        let text = text.map_err(|problem| {
            KUBERNETES
                .misconfigured(self.role, "reading the token's file broke off")
                .with_source(problem)
        })?;
        self.believe(&text?).map(Some)
    }

    fn believe(&self, text: &str) -> Result<HeaderValue> {
        let header = bearer(text, self.role)?;
        *self.lock() = Some((Instant::now(), header.clone()));
        Ok(header)
    }

    /// Forgets what was read. Returns whether there may be another token now.
    pub(crate) fn renew(&self) -> bool {
        *self.lock() = None;
        matches!(self.token, Token::File(_))
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, HeaderValue)>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path, role: Role) -> Result<String> {
    let wrong = |problem: &dyn fmt::Display| {
        KUBERNETES.misconfigured(
            role,
            format!("the token's file {} cannot be read: {problem}", path.display()),
        )
    };
    let mut text = String::new();
    let file = File::open(path).map_err(|problem| wrong(&problem))?;
    let read = file.take(LARGEST + 1).read_to_string(&mut text);
    let length = read.map_err(|problem| wrong(&problem))?;
    if length as u64 > LARGEST {
        return Err(wrong(&format_args!(
            "it has more than {LARGEST} bytes, which no token has"
        )));
    }
    Ok(text)
}

fn bearer(token: &str, role: Role) -> Result<HeaderValue> {
    let token = token.trim();
    let header = (!token.is_empty()).then(|| HeaderValue::try_from(format!("Bearer {token}")));
    let Some(Ok(mut header)) = header else {
        return Err(KUBERNETES.misconfigured(role, "the token is empty or has characters that no token has"));
    };
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_tokens_file_is_read_again_when_time_has_passed_or_it_was_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let credentials = Credentials::new(Token::File(file.path().to_owned()), Role::Registry);
        let said = async || {
            let header = credentials.header().await.unwrap().unwrap();
            header.to_str().unwrap().to_owned()
        };
        fs::write(&file, "one\n").unwrap();
        assert_eq!(said().await, "Bearer one");
        fs::write(&file, "two").unwrap();
        assert_eq!(said().await, "Bearer one");
        tokio::time::advance(BELIEVED).await;
        assert_eq!(said().await, "Bearer two");
        fs::write(&file, "three").unwrap();
        assert!(credentials.renew());
        assert_eq!(said().await, "Bearer three");
    }

    #[tokio::test]
    async fn a_token_is_said_but_not_shown() {
        let credentials = Credentials::new(Token::Text("secret".into()), Role::Registry);
        let header = credentials.header().await.unwrap().unwrap();
        assert_eq!(header, "Bearer secret");
        assert!(!format!("{header:?} {:?}", credentials.token).contains("secret"));
        assert!(!credentials.renew());
        let nobody = Credentials::new(Token::None, Role::Registry);
        assert_eq!(nobody.header().await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_no_token_is_refused_with_the_reason() {
        for token in [
            Token::Text(String::new()),
            Token::Text("a\nb".into()),
            Token::File("/nonexistent/token".into()),
            // It never ends.
            Token::File("/dev/zero".into()),
        ] {
            let credentials = Credentials::new(token, Role::Registry);
            for error in [
                credentials.check().unwrap_err(),
                credentials.header().await.unwrap_err(),
            ] {
                assert!(error.detail().contains("token"), "{error}");
            }
        }
    }

    #[tokio::test]
    async fn a_tokens_file_that_hangs_holds_up_nothing_but_its_request() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("token");
        // A pipe into which nobody writes yet.
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let credentials = Credentials::new(Token::File(path.clone()), Role::Registry);
        assert!(
            timeout(Duration::from_millis(100), credentials.header())
                .await
                .is_err()
        );
        // So that the thread comes to its end.
        fs::write(&path, "late").unwrap();
    }
}
