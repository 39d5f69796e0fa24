//! The transport keeps the contract of transports: plain, encrypted, and with certificates on both sides.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::LazyLock;

use micro_core::transport::http::{ClientCertificates, Identity, Tls};
use micro_tcp::{TcpConfig, TcpLimits, TcpTransport};

mod plain {
    use super::*;

    micro_testkit::transport_conformance!(|| async { TcpTransport::new(TcpConfig::default()) });
}

mod one_connection {
    use super::*;

    // Everything on one connection, in small frames.
    micro_testkit::transport_conformance!(|| async {
        TcpTransport::new(TcpConfig {
            connections: 1,
            large_from: usize::MAX,
            stream_window: 4 * 1024,
            limits: TcpLimits {
                frame_size: 4 * 1024,
                ..TcpLimits::default()
            },
            ..TcpConfig::default()
        })
    });
}

mod tls {
    use super::*;

    micro_testkit::transport_conformance!(|| async { encrypted(false) });
}

mod mutual_tls {
    use super::*;

    micro_testkit::transport_conformance!(|| async { encrypted(true) });
}

/// A transport whose two ends believe the same authority; with `mutual`, callers must show a certificate too.
fn encrypted(mutual: bool) -> micro_core::Result<TcpTransport> {
    static CERTIFICATES: LazyLock<(String, Identity)> = LazyLock::new(|| {
        let authority_key = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = authority.self_signed(&authority_key).unwrap().pem();
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let leaf = rcgen::CertificateParams::new(names).unwrap();
        let identity = Identity {
            certificates: leaf.signed_by(&key, &issuer).unwrap().pem().into(),
            key: key.serialize_pem().into(),
        };
        (certificate, identity)
    });
    let (authority, identity) = &*CERTIFICATES;
    TcpTransport::new(TcpConfig {
        tls: Some(Tls {
            identity: Some(identity.clone()),
            authorities: authority.clone().into(),
            client_certificates: match mutual {
                true => ClientCertificates::Required(authority.clone().into()),
                false => ClientCertificates::None,
            },
            ..Tls::default()
        }),
        ..TcpConfig::default()
    })
}
