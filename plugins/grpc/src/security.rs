//! Encryption, with certificates that may change while the transport is used.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use micro_core::transport::http::{Identity, Tls};
use micro_core::transport::socket::{Acceptor, Connector};
use micro_core::{Error, Result};
use tokio::time::Instant;

use crate::config::{GrpcConfig, IdentityFiles};

/// What is spoken over encrypted connections, by callers and by listeners.
const CALLED: &[&str] = &["h2"];
const SERVED: &[&str] = &["h2", "http/1.1"];

/// What makes connections, out of what the files hold now.
pub(crate) struct Security {
    tls: Option<Tls>,
    files: Option<IdentityFiles>,
    current: Mutex<Current>,
}

struct Current {
    connector: Connector,
    acceptor: Acceptor,
    looked: Instant,
    /// When the files that are in use were written.
    written: Option<Written>,
}

/// When certificates and key were written.
type Written = (SystemTime, SystemTime);

impl Security {
    pub(crate) fn new(config: &GrpcConfig) -> Result<Self> {
        let files = config.identity_files.clone();
        let mut tls = config.tls.clone();
        let mut written = None;
        if let Some(files) = &files {
            written = Some(files.written()?);
            tls.get_or_insert_default().identity = Some(files.read()?);
        }
        let (connector, acceptor) = made(tls.as_ref())?;
        Ok(Self {
            tls,
            files,
            current: Mutex::new(Current {
                connector,
                acceptor,
                looked: Instant::now(),
                written,
            }),
        })
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    pub(crate) fn connector(&self) -> Connector {
        self.current().connector.clone()
    }

    pub(crate) fn acceptor(&self) -> Acceptor {
        self.current().acceptor.clone()
    }

    /// What is in use, after a look at the files where the last one was some time ago.
    fn current(&self) -> MutexGuard<'_, Current> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = &self.files
            && current.looked.elapsed() >= files.reload_interval
        {
            current.looked = Instant::now();
            if let Err(error) = self.renew(files, &mut current) {
                tracing::warn!(%error, "the certificate of before stays in use");
            }
        }
        current
    }

    fn renew(&self, files: &IdentityFiles, current: &mut Current) -> Result<()> {
        let written = files.written()?;
        if current.written == Some(written) {
            return Ok(());
        }
        let tls = Tls {
            identity: Some(files.read()?),
            ..self.tls.clone().unwrap_or_default()
        };
        (current.connector, current.acceptor) = made(Some(&tls))?;
        current.written = Some(written);
        tracing::info!(certificates = %files.certificates.display(), "a new certificate is in use");
        Ok(())
    }
}

fn made(tls: Option<&Tls>) -> Result<(Connector, Acceptor)> {
    Ok((Connector::new(tls, CALLED)?, Acceptor::new(tls, SERVED)?))
}

impl IdentityFiles {
    fn read(&self) -> Result<Identity> {
        Ok(Identity {
            certificates: std::fs::read(&self.certificates)
                .map_err(|problem| unreadable(&self.certificates, problem))?,
            key: std::fs::read(&self.key).map_err(|problem| unreadable(&self.key, problem))?,
        })
    }

    fn written(&self) -> Result<Written> {
        let written = |path: &PathBuf| {
            let metadata = std::fs::metadata(path);
            metadata
                .and_then(|metadata| metadata.modified())
                .map_err(|problem| unreadable(path, problem))
        };
        Ok((written(&self.certificates)?, written(&self.key)?))
    }
}

fn unreadable(path: &std::path::Path, problem: std::io::Error) -> Error {
    Error::bad_request(
        "go.micro.transport",
        format!(
            "TLS: the file {} cannot be read: {problem}; see GrpcConfig::identity_files",
            path.display()
        ),
    )
}
