//! Tokens that say who is calling.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use micro_core::Result;
use tokio::time::Instant;

use crate::error::{self, Role};

/// How long what was read of a file is believed. Kubernetes changes the file of a pod's token long before the old
/// token lapses.
const BELIEVED: Duration = Duration::from_secs(30);

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
}

impl Credentials {
    pub(crate) fn new(token: Token, role: Role) -> Self {
        Self {
            token,
            role,
            read: Mutex::default(),
        }
    }

    /// What requests say; None where they say nothing.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or what it holds is no token.
    pub(crate) fn header(&self) -> Result<Option<HeaderValue>> {
        let path = match &self.token {
            Token::None => return Ok(None),
            Token::Text(token) => return bearer(token, self.role).map(Some),
            Token::File(path) => path,
        };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, header)) = &*read
            && when.elapsed() < BELIEVED
        {
            return Ok(Some(header.clone()));
        }
        let text = fs::read_to_string(path).map_err(|problem| {
            error::misconfigured(
                self.role,
                format!("the token's file {} cannot be read: {problem}", path.display()),
            )
        })?;
        let header = bearer(&text, self.role)?;
        *read = Some((Instant::now(), header.clone()));
        Ok(Some(header))
    }

    /// Forgets what was read. Returns whether there may be another token now.
    pub(crate) fn renew(&self) -> bool {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = None;
        matches!(self.token, Token::File(_))
    }
}

fn bearer(token: &str, role: Role) -> Result<HeaderValue> {
    let token = token.trim();
    let header = (!token.is_empty()).then(|| HeaderValue::try_from(format!("Bearer {token}")));
    let Some(Ok(mut header)) = header else {
        return Err(error::misconfigured(
            role,
            "the token is empty or has characters that no token has",
        ));
    };
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_tokens_file_is_read_again_when_time_has_passed_or_it_was_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let credentials = Credentials::new(Token::File(file.path().to_owned()), Role::Registry);
        let said = || {
            credentials
                .header()
                .unwrap()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        };
        fs::write(&file, "one\n").unwrap();
        assert_eq!(said(), "Bearer one");
        fs::write(&file, "two").unwrap();
        assert_eq!(said(), "Bearer one");
        tokio::time::advance(BELIEVED).await;
        assert_eq!(said(), "Bearer two");
        fs::write(&file, "three").unwrap();
        assert!(credentials.renew());
        assert_eq!(said(), "Bearer three");
    }

    #[test]
    fn a_token_is_said_but_not_shown() {
        let credentials = Credentials::new(Token::Text("secret".into()), Role::Registry);
        let header = credentials.header().unwrap().unwrap();
        assert_eq!(header, "Bearer secret");
        assert!(!format!("{header:?} {:?}", credentials.token).contains("secret"));
        assert!(!credentials.renew());
        assert_eq!(
            Credentials::new(Token::None, Role::Registry).header().unwrap(),
            None
        );
    }

    #[test]
    fn what_is_no_token_is_refused_with_the_reason() {
        for token in [
            Token::Text(String::new()),
            Token::Text("a\nb".into()),
            Token::File("/nonexistent/token".into()),
        ] {
            let error = Credentials::new(token, Role::Registry).header().unwrap_err();
            assert!(error.detail().contains("token"), "{error}");
        }
    }
}
