//! Encryption, with certificates that may change while the transport is used.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use micro_core::transport::http::{ClientCertificates, Identity, Tls};
use micro_core::transport::socket::{Acceptor, Connector};
use micro_core::{Error, Result};
use tokio::time::Instant;

use crate::config::{AuthorityFiles, GrpcConfig, IdentityFiles};

/// What is spoken over encrypted connections, by callers and by listeners.
const CALLED: &[&str] = &["h2"];
const SERVED: &[&str] = &["h2", "http/1.1"];

/// What makes connections, out of what the files hold now.
pub(crate) struct Security {
    tls: Option<Tls>,
    files: Files,
    current: Mutex<Current>,
}

/// The files that there are.
struct Files {
    identity: Option<IdentityFiles>,
    authorities: Option<AuthorityFiles>,
}

struct Current {
    connector: Connector,
    acceptor: Acceptor,
    looked: Instant,
    /// When the files that are in use were written.
    written: Vec<SystemTime>,
}

impl Security {
    pub(crate) fn new(config: &GrpcConfig) -> Result<Self> {
        let files = Files {
            identity: config.identity_files.clone(),
            authorities: config.authority_files.clone(),
        };
        let written = files.written()?;
        let tls = config.tls.clone();
        let (connector, acceptor) = made(files.read_into(tls.clone())?.as_ref())?;
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

    /// Whether connections are encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls.is_some() || self.files.reload_interval().is_some()
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
        let interval = self.files.reload_interval();
        if interval.is_some_and(|interval| current.looked.elapsed() >= interval) {
            current.looked = Instant::now();
            if let Err(error) = self.renew(&mut current) {
                tracing::warn!(%error, "the certificates of before stay in use");
            }
        }
        current
    }

    fn renew(&self, current: &mut Current) -> Result<()> {
        let written = self.files.written()?;
        if current.written == written {
            return Ok(());
        }
        let tls = self.files.read_into(self.tls.clone())?;
        (current.connector, current.acceptor) = made(tls.as_ref())?;
        current.written = written;
        tracing::info!(files = ?self.files.paths(), "new certificates are in use");
        Ok(())
    }
}

fn made(tls: Option<&Tls>) -> Result<(Connector, Acceptor)> {
    Ok((Connector::new(tls, CALLED)?, Acceptor::new(tls, SERVED)?))
}

impl Files {
    fn paths(&self) -> Vec<&Path> {
        let identity = self
            .identity
            .iter()
            .flat_map(|files| [&files.certificates, &files.key]);
        let authorities = self
            .authorities
            .iter()
            .flat_map(|files| [&files.servers, &files.callers].into_iter().flatten());
        identity.chain(authorities).map(PathBuf::as_path).collect()
    }

    fn written(&self) -> Result<Vec<SystemTime>> {
        let written = |path: &Path| {
            let metadata = std::fs::metadata(path);
            metadata
                .and_then(|metadata| metadata.modified())
                .map_err(|problem| unreadable(path, problem))
        };
        self.paths().into_iter().map(written).collect()
    }

    /// How often they are looked at, at most. `None`: there are none.
    fn reload_interval(&self) -> Option<Duration> {
        let identity = self.identity.as_ref().map(|files| files.reload_interval);
        let authorities = self.authorities.as_ref().map(|files| files.reload_interval);
        [identity, authorities].into_iter().flatten().min()
    }

    /// The encryption with what the files say of it.
    fn read_into(&self, mut tls: Option<Tls>) -> Result<Option<Tls>> {
        if let Some(files) = &self.identity {
            tls.get_or_insert_default().identity = Some(Identity {
                certificates: read(&files.certificates)?,
                key: read(&files.key)?,
            });
        }
        if let Some(files) = &self.authorities {
            let tls = tls.get_or_insert_default();
            if let Some(servers) = &files.servers {
                tls.authorities = read(servers)?;
            }
            if let Some(callers) = &files.callers {
                tls.client_certificates = ClientCertificates::Required(read(callers)?);
            }
        }
        Ok(tls)
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|problem| unreadable(path, problem))
}

fn unreadable(path: &Path, problem: std::io::Error) -> Error {
    Error::bad_request(
        "go.micro.transport",
        format!(
            "TLS: the file {} cannot be read: {problem}; see GrpcConfig::identity_files and authority_files",
            path.display()
        ),
    )
}
