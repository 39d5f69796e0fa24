//! Certificates that change while they are used.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use micro_core::registry::Node;
use micro_core::transport::http::Tls;
use micro_core::{Error, Request, Transport};
use micro_grpc::{AuthorityFiles, ForeignServices, GrpcConfig, GrpcTransport, IdentityFiles};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::raw::{dial, serve_echo, soon};

/// An authority, and the PEM of its certificate.
fn authority() -> (Issuer<'static, KeyPair>, String) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = parameters.self_signed(&key).unwrap().pem();
    (Issuer::new(parameters, key), certificate)
}

/// Writes a certificate of the authority and its key, some time after what was written before.
fn write(authority: &Issuer<'static, KeyPair>, files: &IdentityFiles, age: u64) {
    write_for("127.0.0.1", authority, files, age);
}

/// The same for this host.
fn write_for(host: &str, authority: &Issuer<'static, KeyPair>, files: &IdentityFiles, age: u64) {
    let key = KeyPair::generate().unwrap();
    let parameters = CertificateParams::new(vec![host.to_owned()]).unwrap();
    let certificate = parameters.signed_by(&key, authority).unwrap();
    for (path, text) in [
        (&files.certificates, certificate.pem()),
        (&files.key, key.serialize_pem()),
    ] {
        fs::write(path, text).unwrap();
        let time = std::time::SystemTime::now() - Duration::from_secs(age);
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }
}

fn believing(authority: &str) -> GrpcConfig {
    GrpcConfig {
        tls: Some(Tls {
            authorities: authority.into(),
            ..Tls::default()
        }),
        ..GrpcConfig::default()
    }
}

async fn call(address: &str, authority: &str) -> Result<(), Error> {
    let peer = dial(address, believing(authority)).await;
    soon(peer.handle(Request::new("a", "B.C", "x"))).await.map(drop)
}

#[tokio::test]
async fn a_certificate_that_was_written_anew_is_shown_to_new_connections() {
    let directory = tempfile::tempdir().unwrap();
    let in_it = |name: &str| -> PathBuf { directory.path().join(name) };
    let files = IdentityFiles {
        certificates: in_it("certificate.pem"),
        key: in_it("key.pem"),
        reload_interval: Duration::ZERO,
    };
    let (first, first_certificate) = authority();
    let (second, second_certificate) = authority();
    write(&first, &files, 100);
    let listener = serve_echo(GrpcConfig {
        identity_files: Some(files.clone()),
        ..GrpcConfig::default()
    })
    .await;
    let address = listener.address();
    call(address, &first_certificate).await.unwrap();
    let error = call(address, &second_certificate).await.unwrap_err();
    assert!(
        error.is_never_started() && error.detail().contains("not believed"),
        "{error}"
    );

    write(&second, &files, 50);
    call(address, &second_certificate).await.unwrap();
    assert!(call(address, &first_certificate).await.is_err());

    // What cannot be used changes nothing.
    fs::write(&files.key, "no key").unwrap();
    call(address, &second_certificate).await.unwrap();
    fs::remove_file(&files.key).unwrap();
    call(address, &second_certificate).await.unwrap();
}

/// Writes the certificate of an authority, some time after what was written before.
fn write_authority(path: &Path, certificate: &str, age: u64) {
    fs::write(path, certificate).unwrap();
    let time = std::time::SystemTime::now() - Duration::from_secs(age);
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

#[tokio::test]
async fn authorities_that_were_written_anew_count_for_new_connections_on_both_sides() {
    let directory = tempfile::tempdir().unwrap();
    let in_it = |name: &str| -> PathBuf { directory.path().join(name) };
    let identity = |name: &str| IdentityFiles {
        certificates: in_it(&format!("{name}.pem")),
        key: in_it(&format!("{name}-key.pem")),
        reload_interval: Duration::ZERO,
    };
    let (ours, theirs) = (identity("ours"), identity("theirs"));
    let authorities = in_it("authorities.pem");
    let (first, first_certificate) = authority();
    let (second, second_certificate) = authority();
    write(&first, &ours, 100);
    write(&first, &theirs, 100);
    write_authority(&authorities, &first_certificate, 100);
    let listener = serve_echo(GrpcConfig {
        identity_files: Some(theirs.clone()),
        authority_files: Some(AuthorityFiles {
            callers: Some(authorities.clone()),
            ..AuthorityFiles::default()
        }),
        ..GrpcConfig::default()
    })
    .await;
    let caller = GrpcTransport::new(GrpcConfig {
        identity_files: Some(ours.clone()),
        authority_files: Some(AuthorityFiles {
            servers: Some(authorities.clone()),
            ..AuthorityFiles::default()
        }),
        ..GrpcConfig::default()
    })
    .unwrap();
    let call = async || {
        let node = Node::new("node-1", listener.address());
        let peer = caller.dial(&node).await.unwrap();
        soon(peer.handle(Request::new("a", "B.C", "x"))).await.map(drop)
    };
    call().await.unwrap();
    write(&second, &theirs, 50);
    assert!(call().await.is_err(), "the caller believes the first authority");
    write_authority(&authorities, &second_certificate, 50);
    assert!(
        call().await.is_err(),
        "the listener believes the second authority"
    );
    write(&second, &ours, 50);
    call().await.unwrap();
}

#[tokio::test]
async fn a_foreign_service_proves_the_name_that_it_is_called_by() {
    let directory = tempfile::tempdir().unwrap();
    let files = IdentityFiles {
        certificates: directory.path().join("certificate.pem"),
        key: directory.path().join("key.pem"),
        reload_interval: Duration::from_secs(10),
    };
    let (issuer, certificate) = authority();
    write_for("localhost", &issuer, &files, 1);
    let listener = serve_echo(GrpcConfig {
        identity_files: Some(files),
        ..GrpcConfig::default()
    })
    .await;
    let port = listener.address().rsplit_once(':').unwrap().1;
    let transport = Arc::new(GrpcTransport::new(believing(&certificate)).unwrap());
    let call = async |target: String| {
        let services = ForeignServices::new().at("a", [target]).unwrap();
        let client = services.client(transport.clone()).build();
        soon(client.request(Request::new("a", "B.C", "x"))).await
    };
    call(format!("dns:localhost:{port}")).await.unwrap();
    let error = call(format!("127.0.0.1:{port}")).await.unwrap_err();
    assert!(error.detail().contains("not believed"), "{error}");
}

#[tokio::test]
async fn files_that_are_not_there_are_named() {
    let transport = GrpcTransport::new(GrpcConfig {
        identity_files: Some(IdentityFiles {
            certificates: "/nonexistent/certificate.pem".into(),
            key: "/nonexistent/key.pem".into(),
            reload_interval: Duration::ZERO,
        }),
        ..GrpcConfig::default()
    });
    let error = transport.err().unwrap();
    assert!(error.detail().contains("/nonexistent/certificate.pem"), "{error}");
}

#[tokio::test]
async fn a_listener_without_a_certificate_is_refused() {
    let transport = GrpcTransport::new(believing(&authority().1)).unwrap();
    let nobody = micro_core::handler::handler_fn(|_| async { Ok(micro_core::Response::default()) });
    let error = transport
        .listen("127.0.0.1:0", std::sync::Arc::new(nobody))
        .await
        .err()
        .unwrap();
    assert!(error.detail().contains("identity"), "{error}");
}

#[tokio::test]
async fn callers_that_disagree_about_encryption_are_told_so() {
    let (first, certificate) = authority();
    let directory = tempfile::tempdir().unwrap();
    let files = IdentityFiles {
        certificates: directory.path().join("certificate.pem"),
        key: directory.path().join("key.pem"),
        reload_interval: Duration::from_secs(10),
    };
    write(&first, &files, 1);
    let encrypted = serve_echo(GrpcConfig {
        identity_files: Some(files),
        ..GrpcConfig::default()
    })
    .await;
    let peer = dial(encrypted.address(), GrpcConfig::default()).await;
    let error = soon(peer.handle(Request::new("a", "B.C", "x")))
        .await
        .unwrap_err();
    assert!(
        error.is_never_started() && error.detail().contains(encrypted.address()),
        "{error}"
    );
    let plain = serve_echo(GrpcConfig::default()).await;
    let error = call(plain.address(), &certificate).await.unwrap_err();
    assert!(
        error.is_never_started() && error.detail().contains(plain.address()),
        "{error}"
    );
}
