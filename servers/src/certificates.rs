//! Certificates for servers that want encryption.

use std::path::Path;

use anyhow::Result;
use micro_core::backend::ServerTls;
use micro_core::transport::http::Identity;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// What clients' certificates say that they are: some servers look where the call is from.
const CLIENT: &str = "127.0.0.1";

/// An authority that nobody believes but who is told to.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub pem: String,
}

/// What a server reads to encrypt, as files that are there as long as this.
pub struct Files {
    /// The path of the authority's own certificate.
    pub authority: String,
    /// The path of the server's certificate.
    pub certificate: String,
    /// The path of its key.
    pub key: String,
    _folder: TempDir,
}

impl Authority {
    /// Makes one that differs from all others.
    ///
    /// # Errors
    ///
    /// When no key can be made.
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            pem,
        })
    }

    /// A certificate for this host, and its key.
    ///
    /// # Errors
    ///
    /// When the name is none.
    pub fn issue(&self, name: &str) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        // Another than the authority's: OpenSSL takes a certificate for its own issuer otherwise.
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity {
            certificates: certificate.pem().into_bytes(),
            key: key.serialize_pem().into_bytes(),
        })
    }

    /// Files for a server of this name.
    ///
    /// # Errors
    ///
    /// When the name is none, or files cannot be written.
    pub fn files(&self, name: &str) -> Result<Files> {
        let identity = self.issue(name)?;
        let folder = TempDir::new()?;
        Ok(Files {
            authority: write(folder.path(), "ca.pem", self.pem.as_bytes())?,
            certificate: write(folder.path(), "server.pem", &identity.certificates)?,
            key: write(folder.path(), "server.key", &identity.key)?,
            _folder: folder,
        })
    }

    /// What a client has that is let in: it believes this authority and shows a certificate of it.
    ///
    /// # Errors
    ///
    /// When no key can be made.
    pub fn client(&self) -> Result<ServerTls> {
        Ok(self.believed(Some(self.issue(CLIENT)?)))
    }

    /// What clients have that are not let in: one shows nothing, one believes somebody else, and one shows a certificate
    /// of somebody else.
    ///
    /// # Errors
    ///
    /// When no key can be made.
    pub fn strangers(&self) -> Result<[ServerTls; 3]> {
        let stranger = Self::new()?;
        Ok([
            self.believed(None),
            stranger.believed(Some(self.issue(CLIENT)?)),
            self.believed(Some(stranger.issue(CLIENT)?)),
        ])
    }

    fn believed(&self, identity: Option<Identity>) -> ServerTls {
        ServerTls {
            authorities: self.pem.clone().into_bytes(),
            identity,
            server_name: None,
        }
    }
}

fn write(folder: &Path, name: &str, content: &[u8]) -> Result<String> {
    let path = folder.join(name);
    std::fs::write(&path, content)?;
    Ok(path.display().to_string())
}
