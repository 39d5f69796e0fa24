//! Certificates for a run of the tests.

use std::path::{Path, PathBuf};

use anyhow::Context;
use micro::transport::http::{Identity, Tls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// The name that the server's certificate proves, beside its address.
pub(super) const SERVER_NAME: &str = "localhost";

/// An authority and a server's certificate, in memory for Rust and in files for Go.
pub struct Certificates {
    authority: String,
    certificate: String,
    key: String,
    folder: PathBuf,
}

impl Certificates {
    /// Makes them, and writes them to a folder.
    pub fn make(folder: &Path) -> anyhow::Result<Self> {
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_certificate = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate()?;
        let names = vec![SERVER_NAME.to_owned(), "127.0.0.1".to_owned()];
        let certificates = Self {
            authority: authority_certificate,
            certificate: CertificateParams::new(names)?.signed_by(&key, &issuer)?.pem(),
            key: key.serialize_pem(),
            folder: folder.to_owned(),
        };
        certificates.write()?;
        Ok(certificates)
    }

    fn write(&self) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let files = [
            (self.authority_file(), &self.authority),
            (self.certificate_file(), &self.certificate),
            (self.key_file(), &self.key),
        ];
        for (path, text) in files {
            std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        }
        Ok(())
    }

    /// For both ends in Rust.
    pub fn tls(&self) -> Tls {
        Tls {
            identity: Some(Identity {
                certificates: self.certificate.clone().into(),
                key: self.key.clone().into(),
            }),
            authorities: self.authority.clone().into(),
            ..Tls::default()
        }
    }

    pub(super) fn authority_file(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    pub(super) fn certificate_file(&self) -> PathBuf {
        self.folder.join("server.pem")
    }

    pub(super) fn key_file(&self) -> PathBuf {
        self.folder.join("server.key")
    }
}
