//! TLS, with certificates of both sides and with mistakes.

use micro_core::registry::Node;
use micro_core::transport::http::{ClientCertificates, HttpConfig, Identity, Tls};
use micro_core::transport::{HttpTransport, Listener};
use micro_core::{Error, Request, Result, Transport};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use crate::raw::{Raw, assert_greets, dial, greeter, hello, listen, within};

/// Who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: Vec<u8>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem().into_bytes();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    pub fn identity(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        Identity {
            certificates: params.signed_by(&key, &self.issuer).unwrap().pem().into_bytes(),
            key: key.serialize_pem().into_bytes(),
        }
    }

    pub fn believed(&self) -> Tls {
        Tls {
            authorities: self.pem.clone(),
            ..Tls::default()
        }
    }

    fn serving(&self, name: &str) -> Tls {
        Tls {
            identity: Some(self.identity(name)),
            ..Tls::default()
        }
    }
}

fn config(tls: Tls) -> HttpConfig {
    HttpConfig {
        tls: Some(tls),
        ..HttpConfig::default()
    }
}

async fn serve(tls: Tls) -> Box<dyn Listener> {
    listen(crate::greeter::handler(), config(tls)).await
}

async fn call(address: &str, config: HttpConfig) -> Result<()> {
    let node = dial(address, config).await;
    for _ in 0..2 {
        let mut request = Request::new("greeter", "Greeter.Hello", r#"{"name":"you"}"#);
        request.content_type = micro_core::codec::JSON;
        let response = within(node.handle(request)).await?;
        assert!(
            response
                .body
                .as_single()
                .unwrap()
                .starts_with(b"{\"greeting\":\"Hello you\"")
        );
    }
    Ok(())
}

fn assert_unreachable(error: &Error, address: &str, why: &str) {
    assert!(
        error.detail().contains(why) && error.detail().contains(address),
        "{error}"
    );
    assert!(error.is_never_started(), "{error}");
}

#[tokio::test]
async fn calls_are_encrypted_and_connections_kept() {
    crate::raw::bounded(async {
        let authority = Authority::new();
        let server = serve(authority.serving("127.0.0.1")).await;
        call(server.address(), config(authority.believed()))
            .await
            .unwrap();
        let named = serve(authority.serving("greeter.internal")).await;
        let tls = Tls {
            server_name: Some("greeter.internal".into()),
            ..authority.believed()
        };
        call(named.address(), config(tls)).await.unwrap();
        let tls = Tls {
            accept_any_server: true,
            ..Tls::default()
        };
        call(named.address(), config(tls)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_server_that_proves_nothing_is_not_called() {
    crate::raw::bounded(async {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let server = serve(authority.serving("127.0.0.1")).await;
        let address = server.address();
        let error = call(address, config(stranger.believed())).await.unwrap_err();
        assert_unreachable(&error, address, "`authorities`");
        let error = call(address, config(Tls::default())).await.unwrap_err();
        assert_unreachable(&error, address, "`authorities`");
        let other = serve(authority.serving("other.internal")).await;
        let error = call(other.address(), config(authority.believed()))
            .await
            .unwrap_err();
        assert_unreachable(&error, other.address(), "`server_name`");
    })
    .await;
}

#[tokio::test]
async fn callers_must_show_a_certificate_where_it_is_required() {
    crate::raw::bounded(async {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let tls = Tls {
            client_certificates: ClientCertificates::Required(authority.pem.clone()),
            ..authority.serving("127.0.0.1")
        };
        let server = serve(tls).await;
        let caller = |identity| {
            config(Tls {
                identity,
                ..authority.believed()
            })
        };
        call(server.address(), caller(Some(authority.identity("caller"))))
            .await
            .unwrap();
        let error = call(server.address(), caller(None)).await.unwrap_err();
        assert_unreachable(&error, server.address(), "CertificateRequired");
        let error = call(server.address(), caller(Some(stranger.identity("caller"))))
            .await
            .unwrap_err();
        assert_unreachable(&error, server.address(), "fatal alert");
        call(server.address(), caller(Some(authority.identity("caller"))))
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn plain_and_encrypted_ends_that_meet_say_so() {
    crate::raw::bounded(async {
        let authority = Authority::new();
        let encrypted = serve(authority.serving("127.0.0.1")).await;
        let error = call(encrypted.address(), HttpConfig::default())
            .await
            .unwrap_err();
        assert_unreachable(&error, encrypted.address(), "speaks TLS");
        let plain = greeter().await;
        let error = call(plain.address(), config(authority.believed()))
            .await
            .unwrap_err();
        assert_unreachable(&error, plain.address(), "does not speak TLS");
        assert_greets(plain.address()).await;
        // And a person: the connection is closed with an alert, at once.
        let mut person = Raw::connect(encrypted.address()).await;
        person.send(hello("x")).await;
        assert!(within(person.rest()).await.starts_with(&[0x15, 3]));
        call(encrypted.address(), config(authority.believed()))
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_refused_at_once() {
    crate::raw::bounded(async {
        let authority = Authority::new();
        let refused = |tls: Tls, why: &str| {
            let error = HttpTransport::new(config(tls)).err().unwrap();
            assert!(error.detail().contains(why), "{error}");
        };
        let identity = authority.identity("a");
        refused(
            Tls {
                authorities: b"nonsense".to_vec(),
                ..Tls::default()
            },
            "authorities",
        );
        let keyless = Identity {
            key: Vec::new(),
            ..identity.clone()
        };
        refused(
            Tls {
                identity: Some(keyless),
                ..Tls::default()
            },
            "key",
        );
        let other_key = Identity {
            key: authority.identity("b").key,
            ..identity.clone()
        };
        refused(
            Tls {
                identity: Some(other_key),
                ..Tls::default()
            },
            "certificate",
        );
        let bare = Identity {
            certificates: Vec::new(),
            ..identity
        };
        refused(
            Tls {
                identity: Some(bare),
                ..Tls::default()
            },
            "certificate",
        );
        refused(
            Tls {
                server_name: Some("not a name".into()),
                ..Tls::default()
            },
            "server_name",
        );
        let transport = HttpTransport::new(config(authority.believed())).unwrap();
        let error = transport
            .listen("127.0.0.1:0", crate::greeter::handler())
            .await
            .err()
            .unwrap();
        assert!(error.detail().contains("has no identity"), "{error}");
        let node = Node {
            address: "nowhere".into(),
            ..Node::default()
        };
        assert!(transport.dial(&node).await.is_err());
    })
    .await;
}

async fn handshake(
    address: &str,
    authority: &Authority,
    protocols: &[&str],
) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&authority.pem).unwrap())
        .unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let mut client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = protocols
        .iter()
        .map(|protocol| protocol.as_bytes().to_vec())
        .collect();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(std::sync::Arc::new(client));
    connector
        .connect("127.0.0.1".try_into().unwrap(), stream)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_protocol_is_agreed_on_in_the_handshake() {
    crate::raw::bounded(async {
        let authority = Authority::new();
        let server = serve(authority.serving("127.0.0.1")).await;
        for (offered, chosen) in [
            (&["h2", "http/1.1"][..], Some("h2")),
            (&["http/1.1"], Some("http/1.1")),
            (&[], None),
        ] {
            let mut stream = within(handshake(server.address(), &authority, offered)).await;
            let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
            assert_eq!(agreed.as_deref(), chosen.map(str::as_bytes));
            if chosen == Some("h2") {
                stream
                    .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
                    .await
                    .unwrap();
                let mut frame = [0; 9];
                within(stream.read_exact(&mut frame)).await.unwrap();
                assert_eq!(frame[3], 4, "a frame of settings");
            } else {
                stream.write_all(hello("you").as_bytes()).await.unwrap();
                let mut answer = [0; 15];
                within(stream.read_exact(&mut answer)).await.unwrap();
                assert_eq!(&answer, b"HTTP/1.1 200 OK");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_given_up() {
    crate::raw::bounded(async {
        let authority = Authority::new();
        let mut config = config(authority.serving("127.0.0.1"));
        config.limits.head_timeout = std::time::Duration::from_millis(50);
        let server = listen(crate::greeter::handler(), config).await;
        let mut silent = Raw::connect(server.address()).await;
        assert!(within(silent.rest()).await.is_empty());
    })
    .await;
}
