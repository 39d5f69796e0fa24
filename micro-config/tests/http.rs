//! A document at an HTTP address.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod document_server;

use std::time::Duration;

use document_server::DocumentServer;
use micro_config::{Config, ErrorKind, Http, Source};

fn source(server: &DocumentServer) -> Http {
    Http::new(&format!("http://{}/conf.json?key=hidden", server.address))
        .unwrap()
        .interval(Duration::from_millis(20))
}

mod contract {
    use std::time::Duration;

    use micro_config::{Error, ErrorKind, Http, Result, Source, async_trait};
    use micro_testkit::config::Place;
    use micro_testkit::proxy::Proxy;
    use tokio::sync::Mutex;

    use super::document_server::DocumentServer;

    struct AtAddress {
        server: DocumentServer,
        proxy: Mutex<Proxy>,
    }

    impl AtAddress {
        async fn new() -> std::io::Result<Self> {
            let server = DocumentServer::start().await?;
            let proxy = Mutex::new(Proxy::open(server.address).await?);
            Ok(Self { server, proxy })
        }

        fn set(&self, text: Option<String>) -> Result<()> {
            let mut state = self.server.state.lock();
            let state = state.as_mut();
            state
                .map(|state| state.text = text)
                .map_err(|problem| Error::new(ErrorKind::Unavailable, problem))
        }
    }

    #[async_trait]
    impl Place for AtAddress {
        async fn source(&self) -> Result<Box<dyn Source>> {
            let address = self.proxy.lock().await.address();
            let source = Http::new(&format!("http://{address}/conf"))?;
            Ok(Box::new(
                source
                    .interval(Duration::from_millis(300))
                    .timeout(Duration::from_secs(2)),
            ))
        }

        async fn put(&self, text: &str) -> Result<()> {
            self.set(Some(text.to_owned()))
        }

        async fn remove(&self) -> Result<()> {
            self.set(None)
        }

        fn proxy(&self) -> Option<&Mutex<Proxy>> {
            Some(&self.proxy)
        }
    }

    micro_testkit::source_conformance!(AtAddress::new);
}

#[tokio::test]
async fn what_is_the_same_is_not_sent_again() {
    let server = DocumentServer::start().await.unwrap();
    server.state.lock().unwrap().text = Some("{\"a\": 1}".into());
    let config = Config::builder().source(source(&server)).build().await.unwrap();
    while server.state.lock().unwrap().same < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (requests, same) = {
        let state = server.state.lock().unwrap();
        (state.requests.len(), state.same)
    };
    assert!(same + 1 >= requests, "{same} of {requests} were the same");
    assert_eq!(config.get::<u8>("a").unwrap(), 1);
}

#[tokio::test]
async fn a_token_is_sent_and_never_shown() {
    let server = DocumentServer::start().await.unwrap();
    server.state.lock().unwrap().instead = Some("403 Forbidden".into());
    let mut source = source(&server).bearer("hush").unwrap();
    let error = source.read().await.unwrap_err().to_string();
    assert!(error.contains("403") && error.contains("token"), "{error}");
    let shown = format!("{source} {error}");
    assert!(!shown.contains("hush") && !shown.contains("hidden"), "{shown}");
    let request = server.state.lock().unwrap().requests.remove(0);
    assert!(request.contains("authorization: Bearer hush"), "{request}");
    assert!(request.starts_with("GET /conf.json?key=hidden "), "{request}");
}

#[tokio::test]
async fn a_redirection_is_refused_by_name() {
    let server = DocumentServer::start().await.unwrap();
    server.state.lock().unwrap().instead =
        Some("302 Found\r\nlocation: https://u:p@elsewhere.example/x.json?key=secret".into());
    let error = source(&server).read().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misused);
    let error = error.to_string();
    assert!(
        error.contains("https://elsewhere.example/x.json (302)"),
        "{error}"
    );
    assert!(!error.contains("secret") && !error.contains("u:p"), "{error}");
}

#[tokio::test]
async fn a_document_that_is_too_large_is_refused_by_name() {
    let server = DocumentServer::start().await.unwrap();
    server.state.lock().unwrap().text = Some("x".repeat(2000));
    let error = source(&server).largest(1000).read().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("more than 1000 bytes"), "{error}");
}

#[test]
fn addresses_that_cannot_be_used_are_refused() {
    for address in ["", "conf.json", "ftp://a/b", "http://", "http://user:hush@host/"] {
        let error = Http::new(address).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Misused);
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}

#[tokio::test]
async fn an_encrypted_address_needs_authorities() {
    let mut source = Http::new("https://127.0.0.1:1/conf.json").unwrap();
    let error = source.read().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misused);
    let error = source.authorities("no certificate").read().await.unwrap_err();
    assert!(error.to_string().contains("no certificate in PEM"), "{error}");
}

/// What serves with a certificate, and the authority that signed it.
fn encryption() -> (tokio_rustls::TlsAcceptor, String) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key.serialize_der().try_into().unwrap())
        .unwrap();
    (std::sync::Arc::new(config).into(), certificate.pem())
}

#[tokio::test]
async fn an_encrypted_document_is_read_where_its_authority_is_believed() {
    let (acceptor, authority) = encryption();
    let server = DocumentServer::start_with(Some(acceptor)).await.unwrap();
    server.state.lock().unwrap().text = Some("{\"a\": 1}".into());
    let address = format!("https://{}/conf", server.address);
    let source = Http::new(&address).unwrap().authorities(authority);
    let config = Config::builder().source(source).build().await.unwrap();
    assert_eq!(config.get::<u8>("a").unwrap(), 1);

    let (_, other) = encryption();
    let error = Http::new(&address)
        .unwrap()
        .authorities(other)
        .read()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("certificate"), "{error}");
}
