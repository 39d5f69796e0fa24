//! Certificates that say who is calling.

use std::sync::Arc;

use micro_core::transport::http::Identity;
use micro_kubernetes::{KubernetesConfig, KubernetesRegistry, KubernetesTls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

fn identity(authority: &Authority, usage: ExtendedKeyUsagePurpose) -> Identity {
    let mut parameters = CertificateParams::new(vec!["kubernetes".to_owned()]).unwrap();
    parameters.extended_key_usages = vec![usage];
    let key = KeyPair::generate().unwrap();
    Identity {
        certificates: parameters.signed_by(&key, authority).unwrap().pem().into_bytes(),
        key: key.serialize_pem().into_bytes(),
    }
}

/// Answers one listing, to who shows a certificate of the authority.
async fn serve(listener: TcpListener, authority: &Authority) {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .unwrap();
    let own = identity(authority, ExtendedKeyUsagePurpose::ServerAuth);
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(&own.certificates).unwrap()],
            PrivateKeyDer::from_pem_slice(&own.key).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(mut stream) = acceptor.accept(stream).await else {
            continue;
        };
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: close\r\n\r\n{\"items\":[]}";
        let _ = stream.write_all(answer).await;
        let _ = stream.shutdown().await;
    }
}

#[tokio::test]
async fn a_clients_certificate_is_shown() {
    let authority = authority();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = |identity| KubernetesConfig {
        tls: Some(KubernetesTls {
            authorities: authority.pem().into_bytes(),
            identity,
            server_name: Some("kubernetes".to_owned()),
        }),
        ..KubernetesConfig::new(format!("https://{address}"))
    };
    let shown = config(Some(identity(&authority, ExtendedKeyUsagePurpose::ClientAuth)));
    let connecting = async {
        KubernetesRegistry::connect(shown).await.unwrap();
        let error = KubernetesRegistry::connect(config(None)).await.unwrap_err();
        assert!(error.detail().contains(&address.to_string()), "{error}");
    };
    tokio::select! {
        () = connecting => {}
        () = serve(listener, &authority) => {}
    }
}
